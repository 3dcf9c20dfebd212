"use strict";
// The user's files with what ran on each line.

function sourceView(run, choose) {
  if (!run.sources.length) return h("p", { class: "soft" }, "The log holds no source of this step.");
  const files = run.sources.map((file) => [
    h("h3", { class: "mono" }, file.file, run.graph ? h("span", { class: "soft" }, `  step ${run.graph.step}`) : null),
    h("table", { class: "source" }, h("tbody", {}, file.lines.map((line) => sourceLine(line, choose)))),
  ]);
  return h("div", {}, files);
}

function sourceLine(line, choose) {
  const sick = line.health && isSick(line.health.replace(/^\w+ ok$/, "ok"));
  const note = [line.shapes, sick ? line.health : "", line.nodes > 1 ? `${line.nodes} nodes` : "", line.time].filter(Boolean).join("  ");
  const press = line.seq === null || line.seq === undefined ? {} : pressable(() => choose(line.seq));
  return h("tr", { class: [line.mark, sick ? "sick" : ""].join(" "), ...press, title: note || null },
    h("td", { class: "number" }, line.number), h("td", {}, line.text), h("td", { class: "note" }, note));
}
