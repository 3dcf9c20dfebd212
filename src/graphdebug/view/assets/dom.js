"use strict";
// Making elements. Text from the log only ever becomes text nodes and attribute values, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Enter and space do what a click does.
const pressable = (action) => ({
  tabindex: "0",
  onclick: action,
  onkeydown: (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      action(event);
    }
  },
});

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function numberText(value) {
  if (value === null || value === undefined) return "";
  if (!isNumber(value)) return String(value);
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

const isSick = (health) => Boolean(health) && health !== "ok" && !health.startsWith("unchecked");
const cut = (text, most) => (text.length <= most ? text : text.slice(0, most - 1) + "…");
