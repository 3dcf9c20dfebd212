"use strict";
// The page: what ran and what is wrong first, then one tab a view.

class RunView {
  constructor(run) {
    this.run = run;
    this.nodes = new Nodes(run.nodes);
    const choose = (seq) => this.choose(seq);
    this.details = { graph: new DetailPanel(run, this.nodes, choose), table: new DetailPanel(run, this.nodes, choose), source: new DetailPanel(run, this.nodes, choose), steps: new DetailPanel(run, this.nodes, choose) };
    this.graph = run.graph ? new GraphView(run.graph, choose) : null;
    this.table = new TableView(this.nodes, choose);
    this.steps = new StepsView(run, choose);
    this.source = sourceView(run, choose);
  }

  tabs(suffix) {
    const beside = (view, details) => h("div", { class: "beside" }, h("div", {}, view), details.element);
    return [
      this.graph && { name: "Graph" + suffix, element: beside(this.graph.element, this.details.graph), show: () => this.graph.show() },
      { name: "Source" + suffix, element: beside(this.source, this.details.source) },
      { name: "Steps" + suffix, element: beside(this.steps.element, this.details.steps), show: () => this.steps.show() },
      { name: "Nodes" + suffix, element: beside(this.table.element, this.details.table), show: () => this.table.show() },
    ].filter(Boolean);
  }

  choose(seq) {
    for (const one of Object.values(this.details)) one.show(seq);
    if (this.graph) this.graph.reveal(seq);
    this.table.reveal(seq);
  }
}

function headerView(run) {
  const { summary } = run;
  const good = summary.status.startsWith("completed") && !summary.status.includes("; ");
  return h("header", {},
    h("h1", {}, summary.command), h("span", { class: "status " + (good ? "good" : "bad") }, summary.status), h("span", { class: "spring" }),
    h("div", { class: "facts" }, [summary.frameworks, summary.counts, `level ${summary.level || "unknown"}`, summary.place, summary.started].filter(Boolean).join(" · ")),
    [...summary.remarks, ...summary.damage].map((remark) => h("div", { class: "remark facts" }, remark)));
}

function findingsView(run) {
  return h("section", { class: "finding", "aria-label": "Findings" },
    run.findings.length ? run.findings.map((one) => h("pre", {}, one.text)) : h("p", { class: "none" }, "No finding: nothing wrong was recognised."));
}

function tabsView(tabs) {
  const select = (chosen) => {
    tabs.forEach((tab) => {
      tab.button.setAttribute("aria-selected", tab === chosen);
      tab.button.tabIndex = tab === chosen ? 0 : -1;
      tab.panel.hidden = tab !== chosen;
    });
    if (chosen.show) chosen.show();
  };
  tabs.forEach((tab, index) => {
    tab.panel = h("section", { class: "panel", role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` }, tab.element);
    tab.button = h("button", {
      role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}`, onclick: () => select(tab),
      onkeydown: (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!by) return;
        const next = tabs[(index + by + tabs.length) % tabs.length];
        next.button.focus();
        select(next);
      },
    }, tab.name);
  });
  return { element: [h("div", { role: "tablist" }, tabs.map((tab) => tab.button)), tabs.map((tab) => tab.panel)], select: () => select(tabs[0]) };
}

function themeButton() {
  const dark = () => document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  return h("button", { id: "theme", "aria-label": "Change between light and dark", onclick: () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; } }, "◐");
}

function main() {
  const { runs, comparison } = JSON.parse(document.getElementById("data").textContent);
  const views = runs.map((run) => new RunView(run));
  const tabs = views.flatMap((view, index) => view.tabs(views.length > 1 ? ` ${"AB"[index]}` : ""));
  if (comparison) tabs.unshift({ name: "Comparison", element: compareView(runs, comparison) });
  const tabbed = tabsView(tabs);
  document.getElementById("page").replaceChildren(
    ...runs.map(headerView), ...(comparison ? [] : runs.map(findingsView)), ...tabbed.element.flat());
  document.querySelector("header").append(themeButton());
  views.forEach((view, index) => { if (runs[index].focus !== null) view.choose(runs[index].focus); });
  tabbed.select();
}

main();
