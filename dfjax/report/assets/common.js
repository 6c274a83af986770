"use strict";
// What all parts of the page share. Whatever a run says becomes text nodes and attributes, never markup.

const DATA = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 8;

function el(name, properties = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...inside.filter((each) => each !== null && each !== undefined));
  return made;
}

function svg(name, attributes = {}, ...inside) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/** A run's name after its colour; the name alone where there is one run only. */
function runName(run) {
  const name = el("bdi", {}, DATA.runs[run].name);
  if (DATA.runs.length === 1) return [name];
  return [el("span", { className: `swatch run-${run % COLOURS}`, "aria-hidden": "true" }), name];
}

/** Four digits that count. */
function number(value) {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en-US");
  if (size >= 1e4 && size < 1e9) return Math.round(value).toLocaleString("en-US");
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

/** The same, short enough for an axis: 12k, 1.5M, 0.02. */
function short(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit && size < 1e15) return Number((value / unit).toPrecision(4)) + letter;
  }
  if (size !== 0 && (size < 1e-3 || size >= 1e15)) return value.toExponential(0 + (String(value).length > 6 ? 1 : 0));
  return String(Number(value.toPrecision(6)));
}

const SPANS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** Seconds in the largest unit that fits. */
function duration(seconds) {
  for (const [span, unit] of SPANS) if (seconds >= span) return `${Number((seconds / span).toPrecision(3))} ${unit}`;
  return `${Number(seconds.toPrecision(2))} s`;
}
