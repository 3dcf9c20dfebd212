"use strict";
// The panel beside the picture and the table: all about one node.

class DetailPanel {
  constructor(run, nodes, choose) {
    this.run = run;
    this.nodes = nodes;
    this.choose = choose;
    this.element = h("aside", { "aria-live": "polite", "aria-label": "Details" },
      h("p", { class: "soft" }, "Choose a node to see where it comes from and what it made."));
  }

  show(seq) {
    const index = this.nodes.bySeq.get(seq);
    const parts = index === undefined ? this.outside(seq) : this.node(index, seq);
    this.element.replaceChildren(...parts.flat(Infinity).filter(Boolean));
  }

  outside(seq) {
    const box = this.run.graph && this.run.graph.nodes.find((one) => one.seq === seq);
    if (!box) return [h("h2", {}, `#${seq}`), h("p", {}, "This node is not in the part of the run that this file holds.")];
    const into = this.run.graph.edges.filter(([, to]) => to === box.id);
    const byId = new Map(this.run.graph.nodes.map((one) => [one.id, one]));
    return [
      h("h2", { class: box.kind === "failure" ? "bad" : null }, `${box.label}: ${box.shape}`),
      this.source(box.line),
      into.length ? h("h3", {}, "Was given") : null,
      into.map(([from, , shape]) => h("div", {}, `${shape} from `, this.link(byId.get(from)?.seq, byId.get(from)?.label || from))),
    ];
  }

  node(index, seq) {
    const get = (name) => this.nodes.get(index, name);
    const module = get("module");
    const rows = [
      ["step", `${get("step")}, ${get("phase")}`], ["rank", numberText(get("rank"))], ["op", get("op")], ["module", module],
      ["declared", this.declared(module)], ["shapes", `${get("shapes_in")} → ${get("shapes_out")}`],
      ["dtype", get("dtype")], ["health", get("health")],
      ...["min", "max", "mean", "std", "l2"].map((name) => [name, numberText(get(name))]),
      ["gradient", get("gradient")], ["execution", get("execution") === "executed" ? "" : get("execution")],
      ["mode", get("mode")], ["duration", get("duration") ? `${(get("duration") * 1e6).toFixed(0)} us` : ""],
    ];
    return [
      h("h2", { class: isSick(get("health")) ? "bad" : null }, `#${seq} ${get("function")}`),
      this.source(get("line")),
      h("dl", {}, rows.filter(([, text]) => text).map(([name, text]) => [h("dt", {}, name), h("dd", { class: name === "health" && isSick(text) ? "bad" : null }, text)])),
      this.list("Made by", this.chain(index)),
      this.list("Used by", this.nodes.consumers(seq).slice(0, 12)),
    ];
  }

  // What made its data, what made that one's, and so on.
  chain(index) {
    const found = [];
    const seen = new Set();
    for (let at = index; found.length < 14;) {
      const step = this.nodes.get(at, "step");
      const next = this.nodes.producers(at).map((seq) => this.nodes.bySeq.get(seq)).find((one) => one !== undefined && this.nodes.get(one, "step") === step);
      if (next === undefined || seen.has(next)) break;
      seen.add(next);
      found.push(next);
      at = next;
    }
    return found;
  }

  list(title, indices) {
    if (!indices.length) return null;
    return [h("h3", {}, title), h("div", { class: "mono" }, indices.map((index) => h("div", {}, this.link(this.nodes.get(index, "seq"), this.nodes.words(index), isSick(this.nodes.get(index, "health"))))))];
  }

  link(seq, text, sick) {
    if (seq === null || seq === undefined) return h("span", {}, text);
    return h("a", { role: "link", class: sick ? "bad" : null, ...pressable(() => this.choose(seq)) }, text);
  }

  declared(module) {
    for (let name = module; name; name = name.replace(/[./]?[^./]*$/, "")) {
      if (this.run.declared[name]) return `${name}: ${this.run.declared[name]}`;
    }
    return "";
  }

  source(line) {
    const match = /^(.*):(\d+)$/.exec(line || "");
    if (!match) return null;
    const file = this.run.sources.find((one) => one.file === match[1] || one.file.endsWith("/" + match[1]));
    const text = file && file.lines[Number(match[2]) - 1];
    return h("pre", {}, text ? `${line}  ${text.text.trim()}` : line);
  }
}
