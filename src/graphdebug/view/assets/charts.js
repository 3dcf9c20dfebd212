"use strict";
// Layers over steps: a heat map of norms, and the distribution of one layer as curves (uPlot).

const CELL = 16;

const RAMP = [[44, 58, 134], [43, 118, 158], [38, 160, 134], [122, 194, 92], [240, 214, 70]];

// Dark blue for the least, yellow for the most; red is kept for what is not finite.
function heatColor(share) {
  const at = Math.min(RAMP.length - 1.001, share * (RAMP.length - 1));
  const from = RAMP[Math.floor(at)], to = RAMP[Math.floor(at) + 1];
  return `rgb(${from.map((one, index) => Math.round(one + (to[index] - one) * (at % 1))).join(" ")})`;
}

const logShare = (value, low, high) => {
  if (!(high > low) || value <= 0) return value <= 0 ? 0 : 0.5;
  return Math.min(1, Math.max(0, Math.log(value / low) / Math.log(high / low)));
};

class StepsView {
  constructor(run, choose) {
    this.run = run;
    this.choose = choose;
    this.kind = run.series.layers.some((layer) => layer.gradient.some((one) => one !== null)) ? "gradient" : "activation";
    this.layer = null;
    this.heat = h("div", { class: "heat" });
    this.chart = h("div", { class: "chart" });
    this.element = h("div", {}, this.tools(), this.heat, this.chart);
    this.ready = false;
  }

  // Drawn when first looked at: a chart needs to know its width.
  show() {
    if (this.ready) return;
    this.ready = true;
    if (!this.run.series.layers.length) this.element.replaceChildren(h("p", { class: "soft" }, "No layer has statistics: record with level='stats' to see norms over steps."));
    else { this.drawHeat(); this.drawChart(); }
  }

  tools() {
    const kind = h("select", { "aria-label": "Norms of", onchange: (event) => { this.kind = event.target.value; this.drawHeat(); this.drawChart(); } },
      ["gradient", "activation"].map((one) => h("option", { value: one, selected: one === this.kind ? "" : null }, `${one} norms`)));
    const series = this.run.series;
    return h("div", { class: "tools" }, kind, h("span", { class: "range" }), h("span", {}, h("i", { class: "key", style: "background:var(--bad);border-color:var(--bad)" }), "not finite"), h("span", {}, series.said));
  }

  drawHeat() {
    const { steps } = this.run.series;
    const layers = this.run.series.layers.filter((layer) => layer[this.kind].some((one) => one !== null));
    if (!layers.length) { this.heat.replaceChildren(`no ${this.kind} norms were recorded`); return; }
    const values = layers.flatMap((layer) => layer[this.kind]).filter((one) => isNumber(one) && one > 0);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), 0);
    this.element.querySelector(".range").textContent = values.length ? `${numberText(low)} (blue) to ${numberText(high)} (yellow), logarithmic` : "no norms recorded";
    const room = 8 + 7 * Math.min(44, Math.max(...layers.map((layer) => layer.name.length)));
    const wide = Math.max(3, Math.min(CELL, Math.floor(1100 / steps.length)));
    if (!layers.includes(this.layer)) this.layer = layers[0];
    const rows = layers.map((layer, row) => svg("g", {},
      svg("g", { class: layer === this.layer ? "label chosen" : "label", ...pressable((event) => this.pick(layer, event.currentTarget)), role: "button", "aria-label": `Show layer ${layer.name}` },
        svg("text", { x: room - 6, y: row * CELL + 12, "text-anchor": "end" }, layer.name.length > 44 ? "…" + layer.name.slice(-43) : layer.name)),
      layer[this.kind].map((value, column) => value === null ? null : svg("rect", {
        class: "cell", x: room + column * wide, y: row * CELL, width: wide - (wide > 6 ? 1 : 0), height: CELL - 1,
        fill: isNumber(value) ? heatColor(logShare(value, low, high)) : "var(--bad)",
        onclick: (event) => { this.pick(layer, event.currentTarget.parentNode.querySelector(".label")); if (layer.seqs[column] !== null) this.choose(layer.seqs[column]); },
      }, svg("title", {}, `${layer.name}, step ${steps[column]}: ${numberText(value)}`)))));
    const every = Math.ceil(40 / wide);
    const axis = steps.map((step, column) => column % every ? null : svg("text", { x: room + column * wide, y: layers.length * CELL + 13 }, step));
    this.heat.replaceChildren(svg("svg", { width: room + steps.length * wide + 30, height: layers.length * CELL + 20, role: "group", "aria-label": `${this.kind} norms by layer and step` }, rows, axis));
  }

  pick(layer, label) {
    this.layer = layer;
    this.heat.querySelectorAll(".label").forEach((one) => one.classList.toggle("chosen", one === label));
    this.drawChart();
  }

  drawChart() {
    if (!this.layer) return;
    const { steps } = this.run.series, layer = this.layer;
    const line = (values) => values.map((one) => (isNumber(one) ? one : null));
    const shifted = (sign) => layer.mean.map((one, at) => (isNumber(one) && isNumber(layer.std[at]) ? one + sign * layer.std[at] : null));
    const style = getComputedStyle(document.documentElement);
    const ink = (name) => style.getPropertyValue(name).trim();
    const curve = (label, name, width) => ({ label, stroke: ink(name), width, points: { show: steps.length < 40 }, spanGaps: false });
    const axis = { stroke: ink("--soft"), grid: { stroke: ink("--line"), width: 0.5 }, ticks: { stroke: ink("--line") } };
    this.chart.replaceChildren();
    const width = Math.max(360, Math.min(1100, this.element.clientWidth - 10));
    new libraries.uPlot({
      width, height: 260, title: `${layer.name}: output over steps`, scales: { x: { time: false } },
      series: [{ label: "step" }, curve("min", "--soft", 1), curve("mean - std", "--accent", 1), curve("mean", "--accent", 2), curve("mean + std", "--accent", 1), curve("max", "--soft", 1)],
      bands: [{ series: [4, 2], fill: ink("--accent") + "33" }], axes: [axis, axis],
    }, [steps, line(layer.low), shifted(-1), line(layer.mean), shifted(1), line(layer.high)], this.chart);
    this.histogram(layer);
  }

  // The counts of elements over the recorded range, one strip a step.
  histogram(layer) {
    const known = layer.histograms.map((bins, at) => [bins, at]).filter(([bins]) => bins.length);
    if (!known.length) return;
    const shown = known.filter((_, at) => at % Math.ceil(known.length / 40) === 0);
    const most = Math.max(...shown.flatMap(([bins]) => bins));
    const strips = shown.map(([bins, at], column) => svg("g", { transform: `translate(${column * 26 + 20},0)` },
      bins.map((count, bin) => svg("rect", { x: 0, y: 120 - (bin + 1) * (120 / bins.length), height: 120 / bins.length, width: 24 * (count / most), fill: "var(--accent)" }, svg("title", {}, `step ${this.run.series.steps[at]}: ${count} elements`))),
      svg("text", { x: 0, y: 134 }, this.run.series.steps[at])));
    this.chart.append(h("div", { class: "heat" }, h("div", { class: "soft" }, "distribution of elements by step, from min (bottom) to max (top)"), svg("svg", { width: shown.length * 26 + 40, height: 140 }, strips)));
  }
}
