"use strict";
// The picture of one step: modules that open and close, laid out by dagre, drawn as SVG.

const MOST_BOXES = 24; // the picture starts with as many modules open as keep it below this

class GraphView {
  constructor(graph, choose) {
    this.graph = graph;
    this.choose = choose;
    this.color = "health";
    this.chosen = null;
    this.byId = new Map(graph.nodes.map((node) => [node.id, node]));
    this.open = new Set([""]);
    this.modules = this.countModules();
    this.openFirst();
    this.canvas = h("div", { class: "canvas" });
    this.element = h("div", {}, this.tools(), this.canvas);
    this.draw();
  }

  countModules() {
    const counts = new Map();
    for (const node of this.graph.nodes) {
      node.modules.forEach((_, depth) => {
        const path = node.modules.slice(0, depth + 1).join(".");
        counts.set(path, (counts.get(path) || 0) + 1);
      });
    }
    return counts;
  }

  openFirst() {
    const failed = this.graph.nodes.filter((node) => node.kind === "failure" || (node.on_path && isSick(node.health)));
    for (const node of failed.slice(-3)) this.openAround(node);
    const depth = (path) => path.split(".").length;
    for (const path of [...this.modules.keys()].sort((a, b) => depth(a) - depth(b) || this.modules.get(a) - this.modules.get(b))) {
      this.open.add(path);
      if (this.boxes().size > MOST_BOXES) { this.open.delete(path); break; }
    }
  }

  openAround(node) {
    node.modules.forEach((_, depth) => this.open.add(node.modules.slice(0, depth + 1).join(".")));
  }

  tools() {
    const color = h("select", { "aria-label": "Colour by", onchange: (event) => { this.color = event.target.value; this.draw(); } },
      h("option", { value: "health" }, "colour: health"), h("option", { value: "gradient" }, "colour: gradient norm"));
    return h("div", { class: "tools" },
      h("button", { onclick: () => { for (const path of this.modules.keys()) this.open.add(path); this.draw(); } }, "Open all"),
      h("button", { onclick: () => { this.open = new Set([""]); this.draw(); } }, "Close all"),
      h("button", { onclick: () => this.fit() }, "Fit"), color,
      h("span", {}, h("i", { class: "key", style: "border-color:var(--path)" }), "path to the culprit"),
      h("span", {}, h("i", { class: "key", style: "border-color:var(--bad);background:var(--bad-ground)" }), "not finite or failed"),
      h("span", {}, `step ${this.graph.step}`, this.graph.said ? `; ${this.graph.said}` : ""));
  }

  // What stands for a node now: itself, or the outermost closed module around it.
  shown(node) {
    for (let depth = 1; depth <= node.modules.length; depth++) {
      const path = node.modules.slice(0, depth).join(".");
      if (!this.open.has(path)) return "module:" + path;
    }
    return node.id;
  }

  boxes() {
    const boxes = new Map();
    for (const node of this.graph.nodes) {
      const id = this.shown(node);
      if (id === node.id) boxes.set(id, { ...node, parent: node.modules.join("."), seq: node.seq });
      else {
        const path = id.slice("module:".length);
        const box = boxes.get(id) || { id, label: path.split(".").pop(), kind: "closed", path, count: 0, health: "", gradient: null, on_path: false, parent: path.split(".").slice(0, -1).join(".") };
        box.count++;
        box.on_path = box.on_path || node.on_path;
        box.shape = node.shape;
        if (isSick(node.health) && !isSick(box.health)) box.health = node.health;
        else if (!box.health) box.health = node.health;
        box.gradient = worse(box.gradient, node.gradient);
        boxes.set(id, box);
      }
    }
    return boxes;
  }

  layout() {
    const graph = new libraries.dagre.graphlib.Graph({ compound: true, multigraph: false });
    graph.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 34, marginx: 12, marginy: 12 });
    graph.setDefaultEdgeLabel(() => ({}));
    const boxes = this.boxes();
    for (const box of boxes.values()) {
      const letters = Math.max(box.label.length + 2, 0.9 * this.said(box).length, 0.9 * (box.line || "").length);
      graph.setNode(box.id, { ...box, width: Math.min(270, 26 + 7 * letters), height: box.line ? 52 : 40 });
    }
    for (const box of boxes.values()) this.nest(graph, box);
    for (const [from, to, shape] of this.graph.edges) {
      const a = this.shown(this.byId.get(from)), b = this.shown(this.byId.get(to));
      if (a === b) continue;
      const path = this.byId.get(from).on_path && this.byId.get(to).on_path;
      const known = graph.edge(a, b);
      if (known) known.path = known.path || path;
      else graph.setEdge(a, b, { shape, path });
    }
    libraries.dagre.layout(graph);
    return graph;
  }

  nest(graph, box) {
    for (let child = box.id, path = box.parent; path; path = path.split(".").slice(0, -1).join(".")) {
      const id = "open:" + path;
      const known = graph.hasNode(id);
      if (!known) graph.setNode(id, { path, label: path.split(".").pop(), kind: "module" });
      graph.setParent(child, id);
      if (known) break;
      child = id;
    }
  }

  draw() {
    let graph;
    try {
      graph = this.layout();
    } catch (error) {
      this.canvas.replaceChildren(h("p", {}, `This step could not be laid out (${error.message}); its nodes are in the table.`));
      return;
    }
    const largest = Math.max(1e-30, ...graph.nodes().map((id) => graph.node(id).gradient).filter(isNumber));
    const ids = graph.nodes();
    const modules = ids.filter((id) => graph.node(id).kind === "module").sort((a, b) => graph.node(a).path.length - graph.node(b).path.length);
    this.places = new Map(ids.map((id) => [id, graph.node(id)]));
    this.world = svg("g", {},
      modules.map((id) => this.module(graph.node(id))),
      graph.edges().map((edge) => this.edge(graph.edge(edge))),
      ids.filter((id) => graph.node(id).kind !== "module").map((id) => this.box(graph.node(id), largest)));
    this.picture = svg("svg", { role: "group", "aria-label": `Graph of step ${this.graph.step}` },
      svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, svg("path", { d: "M0 0L8 4L0 8z", fill: "context-stroke" }))),
      this.world);
    this.size = graph.graph();
    this.canvas.replaceChildren(this.picture);
    this.move();
    this.fit();
  }

  module(node) {
    return svg("g", { class: "module", ...pressable(() => this.toggle(node.path)), "aria-label": `Close module ${node.path}`, transform: `translate(${node.x - node.width / 2},${node.y - node.height / 2})` },
      svg("rect", { class: "box", width: node.width, height: node.height, rx: 8 }), svg("text", { x: 8, y: 14, class: "small" }, "▾ " + node.label));
  }

  box(node, largest) {
    const closed = node.kind === "closed";
    const sick = isSick(node.health);
    const classes = ["item", sick || node.kind === "failure" ? "sick" : this.color === "health" && node.health === "ok" ? "ok" : "", node.on_path ? "path" : "", closed || node.kind === "node" || node.kind === "failure" ? "" : "outside"];
    const action = closed ? () => this.toggle(node.path) : () => node.seq !== null && this.choose(node.seq);
    const said = this.said(node);
    const group = svg("g", { class: classes.join(" "), "data-id": node.id, ...pressable(action), "aria-label": `${closed ? "Open module " : ""}${node.label} ${said}`, transform: `translate(${node.x - node.width / 2},${node.y - node.height / 2})` },
      svg("title", {}, `${node.label}\n${node.shape || ""}\n${node.line || ""} ${node.health || ""}${node.gradient !== null && node.gradient !== undefined ? "\ngradient " + numberText(node.gradient) : ""}`),
      svg("rect", { class: "box", width: node.width, height: node.height, rx: 5 }),
      svg("text", { x: 10, y: 18 }, cut((closed ? "▸ " : "") + node.label, 34)),
      svg("text", { x: 10, y: 32, class: "small" }, cut(said, 38)),
      node.line ? svg("text", { x: 10, y: 44, class: "small" }, cut(node.line, 38)) : null);
    if (this.color === "gradient" && isNumber(node.gradient)) {
      group.querySelector(".box").style.fill = heatColor(logShare(node.gradient, largest * 1e-6, largest));
    }
    return group;
  }

  said(box) {
    if (box.kind === "closed") return `${box.count} nodes, ${box.shape}`;
    return `${box.shape}${isSick(box.health) && box.health !== "raised" ? "  " + box.health : ""}`;
  }

  edge(edge) {
    const d = edge.points.map((point, index) => `${index ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`).join("");
    return svg("path", { class: edge.path ? "edge path" : "edge", d, "marker-end": "url(#arrow)" }, svg("title", {}, edge.shape || ""));
  }

  toggle(path) {
    if (this.open.has(path)) for (const one of [...this.open]) { if (one === path || one.startsWith(path + ".")) this.open.delete(one); }
    else this.open.add(path);
    this.draw();
  }

  // Looked at for the first time: only now the picture has a size to fit.
  show() {
    if (this.seen) return;
    this.seen = true;
    this.fit();
    if (this.chosen !== null) this.reveal(this.chosen);
  }

  // Shows where a node is, opening the modules around it.
  reveal(seq) {
    this.chosen = seq;
    const node = this.graph.nodes.find((one) => one.seq === seq);
    if (!node) return;
    if (this.shown(node) !== node.id) { this.openAround(node); this.draw(); }
    for (const one of this.world.querySelectorAll(".chosen")) one.classList.remove("chosen");
    const drawn = [...this.world.querySelectorAll("g[data-id]")].find((one) => one.dataset.id === node.id);
    if (drawn) drawn.classList.add("chosen");
    const place = this.places.get(node.id);
    if (place && this.picture.clientWidth) this.center(place.x, place.y, Math.max(this.view.scale, 0.8));
  }

  fit() {
    const wide = this.picture.clientWidth || 800, high = this.picture.clientHeight || 500;
    const whole = Math.min(wide / (this.size.width || 1), high / (this.size.height || 1), 1.2);
    const scale = Math.max(whole, 0.6);
    const target = [...this.places.values()].filter((one) => one.on_path).pop();
    if (whole < 0.6 && target) this.center(target.x, target.y, 0.8);
    else this.look({ scale, x: (wide - this.size.width * scale) / 2, y: whole < 0.6 ? 0 : (high - this.size.height * scale) / 2 });
  }

  center(x, y, scale) {
    this.look({ scale, x: this.picture.clientWidth / 2 - x * scale, y: this.picture.clientHeight / 2 - y * scale });
  }

  look(view) {
    this.view = view;
    this.world.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`);
  }

  // Dragging, the wheel, and the keys move the picture.
  move() {
    let from = null;
    this.picture.addEventListener("pointerdown", (event) => { from = { x: event.clientX - this.view.x, y: event.clientY - this.view.y }; });
    this.picture.addEventListener("pointermove", (event) => { if (from && event.buttons) this.look({ ...this.view, x: event.clientX - from.x, y: event.clientY - from.y }); });
    this.picture.addEventListener("pointerup", () => { from = null; });
    this.picture.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.offsetX, event.offsetY); }, { passive: false });
    this.picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
      if (step) { event.preventDefault(); this.look({ ...this.view, x: this.view.x + step[0], y: this.view.y + step[1] }); }
      if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.2 : 1 / 1.2, this.picture.clientWidth / 2, this.picture.clientHeight / 2);
    });
  }

  zoom(by, x, y) {
    const scale = Math.min(4, Math.max(0.05, this.view.scale * by));
    const share = scale / this.view.scale;
    this.look({ scale, x: x - (x - this.view.x) * share, y: y - (y - this.view.y) * share });
  }
}

function worse(a, b) {
  if (a === null || a === undefined) return b;
  if (b === null || b === undefined) return a;
  if (!isNumber(a)) return a;
  return !isNumber(b) || b > a ? b : a;
}
