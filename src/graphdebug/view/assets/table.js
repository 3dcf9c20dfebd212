"use strict";
// The node table: only the rows in sight are elements (TanStack Virtual), so that 100,000 rows scroll freely.

const ROW_HEIGHT = 24;
const TABLE_COLUMNS = [
  ["seq", true], ["step", true], ["phase"], ["function"], ["line"], ["health"], ["module"], ["shapes"],
  ["min", true], ["max", true], ["mean", true], ["l2", true], ["gradient", true],
];

class TableView {
  constructor(nodes, choose) {
    this.nodes = nodes;
    this.choose = choose;
    this.chosen = null;
    this.order = { name: "seq", down: false };
    this.found = nodes.search("");
    this.count = h("span", { role: "status" });
    this.query = h("input", { type: "search", placeholder: "Search: words in any column, module:encoder, step:3, health:nan, #41", "aria-label": "Search nodes", oninput: () => this.later() });
    this.sick = h("input", { type: "checkbox", id: "sick", onchange: () => this.search() });
    this.sizer = h("div", { class: "sizer" });
    this.scroller = h("div", { class: "rows", tabindex: "0", "aria-label": "Nodes", onkeydown: (event) => this.key(event) }, this.head(), this.sizer);
    this.element = h("div", {}, h("div", { class: "tools" }, this.query, h("label", {}, this.sick, " not finite only"), this.count), this.scroller);
    this.virtual = null;
  }

  show() {
    if (!this.virtual) {
      this.virtual = new libraries.Virtualizer(this.options());
      this.virtual._didMount();
      this.virtual._willUpdate();
      this.bring();
    }
    this.draw();
  }

  // Scrolls to the chosen row.
  bring() {
    const at = this.found.findIndex((index) => this.nodes.get(index, "seq") === this.chosen);
    if (at >= 0) this.virtual.scrollToIndex(at, { align: "center" });
  }

  options() {
    return {
      count: this.found.length, getScrollElement: () => this.scroller, estimateSize: () => ROW_HEIGHT, overscan: 12,
      scrollToFn: libraries.elementScroll, observeElementRect: libraries.observeElementRect,
      observeElementOffset: libraries.observeElementOffset, onChange: () => this.draw(), scrollMargin: 0, paddingStart: 0,
    };
  }

  head() {
    return h("div", { class: "head" }, TABLE_COLUMNS.map(([name, right]) =>
      h("button", { class: right ? "right" : null, onclick: () => this.sort(name), "aria-label": `Sort by ${name}` }, name)));
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(), 120);
  }

  search() {
    this.found = this.nodes.search(this.query.value);
    if (this.sick.checked) this.found = this.found.filter((index) => isSick(this.nodes.get(index, "health")));
    this.sortFound();
    this.renew();
  }

  sort(name) {
    this.order = { name, down: this.order.name === name ? !this.order.down : false };
    this.sortFound();
    this.renew();
  }

  sortFound() {
    const { name, down } = this.order;
    const column = name === "shapes" ? "shapes_out" : name;
    const key = (index) => this.nodes.get(index, column);
    const sign = down ? -1 : 1;
    this.found.sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === y) return a - b;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : 1) * sign;
    });
  }

  renew() {
    if (!this.virtual) return;
    this.virtual.setOptions(this.options());
    this.virtual.measure();
    this.scroller.scrollTop = 0;
    this.draw();
  }

  draw() {
    const said = this.found.length === this.nodes.count ? "" : `${this.found.length.toLocaleString("en")} found of `;
    this.count.textContent = `${said}${this.nodes.count.toLocaleString("en")} nodes${this.nodes.said ? ` (${this.nodes.said})` : ""}`;
    this.sizer.style.height = `${this.virtual.getTotalSize()}px`;
    this.sizer.replaceChildren(...this.virtual.getVirtualItems().map((item) => this.row(item)));
  }

  row(item) {
    const index = this.found[item.index];
    const get = (name) => this.nodes.get(index, name);
    const text = (name) => name === "shapes" ? `${get("shapes_in")} → ${get("shapes_out")}` : name === "health" && get("health") === "ok" ? "" : numberText(get(name));
    const classes = ["row", isSick(get("health")) ? "sick" : "", get("seq") === this.chosen ? "chosen" : ""];
    return h("div", { class: classes.join(" "), style: `transform:translateY(${item.start}px)`, onclick: () => this.choose(get("seq")), "data-seq": get("seq") },
      TABLE_COLUMNS.map(([name, right]) => h("span", { class: right ? "right" : null, title: text(name) }, text(name))));
  }

  key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[event.key];
    if (!by || !this.found.length) return;
    event.preventDefault();
    const at = this.found.findIndex((index) => this.nodes.get(index, "seq") === this.chosen);
    const next = Math.min(this.found.length - 1, Math.max(0, at + by));
    this.choose(this.nodes.get(this.found[next], "seq"));
    this.virtual.scrollToIndex(next);
  }

  reveal(seq) {
    this.chosen = seq;
    if (this.virtual) this.draw();
  }
}
