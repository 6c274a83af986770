// Parallel coordinates: an axis for each key that differs and one for the metric, a line for each run.

const TALL = 340, ABOVE = 44, BELOW = 18, SIDE = 90;
// Of so few different values each has its own tick.
const SINGLE = 8;

/** An axis over values: numbers on a line, or on a log scale where they span much; anything else side by side. */
function makeAxis(name, values, low = 0) {
  const known = values.filter((value) => value !== null);
  const distinct = [...new Set(known)];
  const height = TALL - ABOVE - BELOW;
  if (!known.every((value) => typeof value === "number")) {
    const gap = height / Math.max(1, distinct.length);
    const y = (value) => TALL - BELOW - gap * (distinct.indexOf(value) + 0.5);
    return { name, y, ticks: distinct.map((value) => [value, String(value)]) };
  }
  const [least, most] = [Math.min(...distinct), Math.max(...distinct)];
  const log = least > 0 && most / least >= 8;
  const scale = log ? Math.log : (value) => value;
  const span = scale(most) - scale(least);
  const y = (value) => TALL - BELOW - height * (span ? 0.04 + 0.92 * ((scale(value) - scale(least)) / span) : 0.5);
  const marks = distinct.length <= SINGLE && !low ? distinct : log ? logTicks(least, most) : ticks(least, most, 5);
  return { name, y, ticks: marks.map((value) => [value, number(value)]) };
}

/** From blue (0, the best) over grey to orange (1, the worst). */
function shade(place) {
  const hue = place < 0.5 ? 212 : 24;
  return `hsl(${hue} ${Math.round(25 + 110 * Math.abs(place - 0.5))}% 50%)`;
}

/** The runs with the place of each among them, from 0, the best, to 1; the best are drawn last. */
function ranked(sweep) {
  const rows = sweep.rows.filter((row) => row.best !== null);
  const sign = sweep.better === "higher" ? -1 : 1;
  const sorted = [...rows].sort((one, other) => sign * (one.best - other.best));
  sorted.forEach((row, i) => { row.place = sorted.length > 1 ? i / (sorted.length - 1) : 0; });
  return sorted.reverse();
}

function tipRows(sweep, row) {
  const said = sweep.keys.map((key, i) => `${key} ${typeof row.values[i] === "number" ? number(row.values[i]) : row.values[i]}`);
  return [el("p", {}, el("strong", {}, `${sweep.metric} ${number(row.best)}`), ` ${row.state}`), el("p", {}, el("small", {}, said.join(", ")))];
}

function drawRun(group, sweep, axes, x, row) {
  const points = axes.map((axis, i) => `${x(i).toFixed(1)} ${axis.y(i < row.values.length ? row.values[i] : row.best).toFixed(1)}`);
  const kind = `run${row.place === 0 ? " best" : ""}${row.state === "finished" ? "" : " open"}`;
  const line = svg("path", { class: kind, d: `M${points.join("L")}`, stroke: shade(row.place) });
  const reach = svg("path", { class: "reach", d: `M${points.join("L")}` });
  reach.addEventListener("pointermove", (event) => {
    group.classList.add("pointed");
    line.classList.add("chosen");
    showTip(tipRows(sweep, row), event.clientX, event.clientY);
  });
  reach.addEventListener("pointerleave", () => {
    group.classList.remove("pointed");
    line.classList.remove("chosen");
    byId("tip").hidden = true;
  });
  return [line, reach];
}

function drawAxis(axis, at, isLast) {
  const parts = [svg("line", { class: "axis", x1: at, x2: at, y1: ABOVE - 6, y2: TALL - BELOW + 6 })];
  parts.push(svg("text", { class: "name", x: at, y: 20, "text-anchor": "middle" }, axis.name));
  const [offset, anchor] = isLast ? [8, "start"] : [-8, "end"];
  for (const [value, words] of axis.ticks) {
    const short = words.length > 14 ? `${words.slice(0, 13)}…` : words;
    parts.push(svg("text", { class: "value", x: at + offset, y: axis.y(value) + 4, "text-anchor": anchor }, short));
  }
  return parts;
}

function startParallel() {
  const box = byId("parallel");
  if (!box) return;
  const sweep = DATA.sweep, rows = ranked(sweep);
  const axes = sweep.keys.map((key, i) => makeAxis(key, rows.map((row) => row.values[i])));
  const arrow = sweep.better === "higher" ? "↑" : "↓";
  axes.push(makeAxis(`${sweep.metric} ${arrow}`, rows.map((row) => row.best), 1));
  const words = `Parallel coordinates of ${rows.length} runs over ${axes.map((axis) => axis.name).join(", ")}`;
  const picture = svg("svg", { role: "img", "aria-label": words });
  box.append(picture);
  const redraw = () => {
    const width = box.clientWidth - 20;
    const x = (i) => (axes.length > 1 ? SIDE + (i / (axes.length - 1)) * (width - 2 * SIDE) : width / 2);
    picture.setAttribute("viewBox", `0 0 ${width} ${TALL}`);
    const group = svg("g");
    const lines = rows.map((row) => drawRun(group, sweep, axes, x, row));
    group.append(...lines.map(([line]) => line), ...lines.map(([, reach]) => reach));
    picture.replaceChildren(group, ...axes.flatMap((axis, i) => drawAxis(axis, x(i), i === axes.length - 1)));
  };
  new ResizeObserver(redraw).observe(box);
  redraw();
}
