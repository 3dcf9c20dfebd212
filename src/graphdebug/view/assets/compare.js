"use strict";
// Two runs side by side.

function compareView(runs, comparison) {
  const side = (run) => h("div", {},
    h("h3", { class: "mono" }, run.title), h("p", {}, run.summary.frameworks, h("br"), run.summary.status),
    run.findings.length ? run.findings.map((one) => h("pre", {}, one.text)) : h("p", { class: "soft" }, "no finding"));
  const rows = comparison.rows.map((row) => h("tr", { class: row.kind },
    cell(row.left), h("td", {}, row.left.shape), h("td", {}, numberText(row.left.l2)),
    cell(row.right), h("td", {}, row.right.shape), h("td", {}, numberText(row.right.l2)), h("td", {}, row.said)));
  return h("div", {},
    h("div", { class: "halves" }, runs.map(side)),
    h("p", {}, comparison.said),
    h("table", { class: "compare" },
      h("thead", {}, h("tr", {}, runs.map((run) => [h("th", {}, run.title), h("th", {}, "shape"), h("th", {}, "l2")]), h("th", {}, "difference"))),
      h("tbody", {}, rows)));
}

function cell(side) {
  return h("td", { class: "mono", title: side.module }, side.seq === null ? "" : `#${side.seq} ${side.label} ${side.line}`);
}
