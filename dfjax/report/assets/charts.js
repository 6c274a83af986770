// Curves: small charts of SVG that are drawn again when a switch or their width changes.

const VIEW = { axis: "images", log: false, smooth: 0.6, hidden: new Set() };
const HEIGHT = 190, LEFT = 50, RIGHT = 10, TOP = 8, BOTTOM = 22;
const CHARTS = [];
// A curve of fewer points is not smoothed: one sees them all.
const FEW = 20;

/** x of each point of a curve on the chosen axis; null where nobody knows it. */
function positions(curve) {
  if (VIEW.axis === "steps") return curve.x;
  if (VIEW.axis === "time") return curve.s;
  const batch = DATA.runs[curve.run].batch;
  return batch ? curve.x.map((step) => step * batch) : null;
}

function axisWords(x) {
  if (VIEW.axis === "time") return duration(x);
  return `${number(x)} ${VIEW.axis === "images" ? "images" : "steps"}`;
}

/** An exponential mean whose start is not drawn to zero. */
function smoothed(values, share) {
  let sum = 0, weight = 0;
  return values.map((value) => {
    sum = share * sum + (1 - share) * value;
    weight = share * weight + (1 - share);
    return sum / weight;
  });
}

/** Round numbers from low to high, about count of them. */
function ticks(low, high, count, units = [1, 2, 5]) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = power * ([...units, 10].find((unit) => unit * power * count >= span * 0.999) || 10);
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function timeTicks(high, count) {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
  const step = steps.find((each) => each * count >= high) || 86400 * Math.ceil(high / count / 86400);
  if (high / step < 2) return ticks(0, high, count);
  return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, i) => i * step);
}

function logTicks(low, high) {
  const found = [];
  const decades = Math.log10(high / low);
  const units = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const every = Math.max(1, Math.ceil(decades / 5));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    if (units.length === 1 && power % every) continue;
    for (const unit of units) {
      const value = Number((unit * 10 ** power).toPrecision(3));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  return found.length > 1 ? found : ticks(low, high, 4);
}

/** The points to draw of a chart's curves, with what is left out. */
function prepare(chart) {
  const shown = [], why = [];
  for (const curve of chart.curves) {
    if (VIEW.hidden.has(curve.run)) continue;
    const x = positions(curve);
    if (!x) {
      why.push(`${DATA.runs[curve.run].name}: no ${VIEW.axis === "time" ? "times" : "batch size"} known`);
      continue;
    }
    const smooth = chart.smooth && VIEW.smooth > 0 && curve.y.length >= FEW;
    const line = smooth ? smoothed(curve.y, VIEW.smooth) : curve.y;
    const keep = curve.y.map((y, i) => i).filter((i) => !VIEW.log || (curve.y[i] > 0 && line[i] > 0));
    const dropped = curve.y.length - keep.length;
    if (dropped) why.push(`${dropped} values of 0 or less have no place on a log scale`);
    if (curve.bads) {
      const named = curve.bad.slice(0, 3).map((step) => step.toLocaleString("en-US")).join(", ");
      why.push(`not finite at step ${named}${curve.bads > 3 ? ` and ${curve.bads - 3} more` : ""}`);
    }
    const points = keep.map((i) => ({
      x: x[i], y: curve.y[i], line: line[i], step: curve.x[i], n: curve.n ? curve.n[i] : null, e: curve.e ? curve.e[i] : null,
      low: curve.lo ? curve.lo[i] : curve.e && curve.e[i] !== null ? curve.y[i] - curve.e[i] : null,
      high: curve.hi ? curve.hi[i] : curve.e && curve.e[i] !== null ? curve.y[i] + curve.e[i] : null,
    }));
    const batch = VIEW.axis === "images" ? DATA.runs[curve.run].batch : 1;
    shown.push({ curve, points, smooth, bad: VIEW.axis === "time" ? [] : curve.bad.map((step) => step * batch) });
  }
  const real = realLines(chart.real.filter((each) => !VIEW.hidden.has(each.run)));
  const off = real.filter((each) => VIEW.log && each.y <= 0);
  if (off.length) why.push(`real pictures (${off.map((each) => number(each.y)).join(", ")}) have no place on a log scale`);
  return { shown, real: real.filter((each) => !off.includes(each)), why: [...new Set(why)] };
}

/** Figures of real pictures, those of several runs that are the same as one. */
function realLines(all) {
  const found = new Map();
  for (const each of all) {
    const line = found.get(each.y);
    if (line) line.runs.push(each.run);
    else found.set(each.y, { y: each.y, runs: [each.run] });
  }
  return [...found.values()];
}

function domain(chart, shown, real) {
  const ys = real.map((each) => each.y);
  let right = 0, left = Infinity;
  for (const { points } of shown) {
    for (const point of points) {
      ys.push(point.y);
      if (point.e !== null && point.e !== undefined) ys.push(...[point.low, point.high].filter((y) => !VIEW.log || y > 0));
      right = Math.max(right, point.x);
      left = Math.min(left, point.x);
    }
  }
  let low = ys.reduce((a, b) => Math.min(a, b), Infinity), high = ys.reduce((a, b) => Math.max(a, b), -Infinity);
  if (low === Infinity) return null;
  if (VIEW.log) {
    const room = low === high ? 2 : (high / low) ** 0.06;
    return { left: 0, right: right || 1, low: low / room, high: high * room };
  }
  const room = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.07;
  // What is never negative starts at no less than zero.
  const floor = low >= 0 && low - room < 0 ? 0 : low - room;
  return { left: 0, right: right || 1, low: floor, high: high + room };
}

function path(points, x, y, value) {
  return points.map((point, i) => `${i ? "L" : "M"}${x(point.x).toFixed(1)} ${y(value(point)).toFixed(1)}`).join("");
}

function band(points, x, y, inside) {
  const both = points.filter((point) => point.low !== null && point.high !== null && point.low !== undefined);
  if (both.length < 2) return "";
  const there = both.map((point) => `${x(point.x).toFixed(1)} ${y(inside(point.high)).toFixed(1)}`);
  const back = both.map((point) => `${x(point.x).toFixed(1)} ${y(inside(point.low)).toFixed(1)}`).reverse();
  return `M${[...there, ...back].join("L")}Z`;
}

function draw(chart) {
  const width = chart.box.clientWidth;
  if (!width) return;
  chart.width = width;
  const { shown, real, why } = prepare(chart);
  const room = domain(chart, shown, real);
  chart.picture.replaceChildren();
  chart.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  chart.why.textContent = why.join("; ");
  chart.shown = shown;
  if (!room) {
    chart.picture.append(svg("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing to show"));
    return;
  }
  const x = (value) => LEFT + ((value - room.left) / (room.right - room.left)) * (width - LEFT - RIGHT);
  const scale = VIEW.log ? Math.log : (value) => value;
  const [bottom, top] = [scale(room.low), scale(room.high)];
  const y = (value) => TOP + (1 - (scale(value) - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  const inside = (value) => Math.min(Math.max(value, room.low), room.high);
  Object.assign(chart, { x, y, inside });
  drawAxes(chart.picture, room, x, y, width);
  real.forEach((each, i) => drawReal(chart, each, i, { x, y, width, several: real.length > 1 }));
  for (const each of shown) drawCurve(chart.picture, each, x, y, inside);
  chart.cursor = svg("g");
  chart.picture.append(chart.cursor);
}

function drawAxes(picture, room, x, y, width) {
  const ys = VIEW.log ? logTicks(room.low, room.high) : ticks(room.low, room.high, 5);
  for (const value of ys) {
    picture.append(
      svg("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)),
    );
  }
  const count = Math.max(2, Math.floor((width - LEFT) / 75));
  const xs = VIEW.axis === "time" ? timeTicks(room.right, count) : ticks(room.left, room.right, count);
  for (const value of xs) {
    const words = VIEW.axis === "time" ? (value ? duration(value) : "0") : short(value);
    const end = x(value) > width - RIGHT - 14;
    picture.append(
      svg("line", { class: "gridline", x1: x(value), x2: x(value), y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("text", { x: end ? width - 2 : x(value), y: HEIGHT - 6, "text-anchor": end ? "end" : "middle" }, words),
    );
  }
}

function drawCurve(picture, { curve, points, smooth, bad }, x, y, inside) {
  const group = svg("g", { class: `run-${curve.run % COLOURS}` });
  // More runs than colours: the next ones are dashed.
  const dash = curve.run >= COLOURS ? { "stroke-dasharray": `${2 + 3 * Math.floor(curve.run / COLOURS)} 3` } : {};
  const area = band(points, x, y, inside);
  if (area) group.append(svg("path", { class: curve.each ? "band spread" : "band", d: area }));
  if (smooth) group.append(svg("path", { class: "curve faint", d: path(points, x, y, (point) => point.y) }));
  group.append(svg("path", { class: "curve", d: path(points, x, y, (point) => point.line), ...dash }));
  if (points.length <= 40) {
    for (const point of points) group.append(svg("circle", { class: "dot", r: 2.6, cx: x(point.x), cy: y(point.line) }));
  }
  for (const step of bad) {
    const at = x(step);
    group.append(svg("path", { class: "not-finite", d: `M${at - 3} ${HEIGHT - BOTTOM - 8}l6 6m0 -6l-6 6` }));
  }
  picture.append(group);
}

function drawReal(chart, each, place, { y, width, several }) {
  const at = y(each.y);
  const words = `real${several ? ` ${each.runs.map((run) => DATA.runs[run].name).join(", ")}` : ""} ${number(each.y)}`;
  // Above the line, or below it where there is no room.
  const label = at - 5 < TOP + 8 ? at + 13 : at - 5;
  // Of all runs alike it has no run's colour.
  const group = svg("g", { class: each.runs.length > 1 ? "shared" : `run-${each.runs[0] % COLOURS}` });
  group.append(svg("line", { class: "real", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }));
  group.append(svg("text", { class: "real-name", x: width - RIGHT - 2 - 95 * (place % 3), y: label, "text-anchor": "end" }, words));
  chart.picture.append(group);
}

// ---- pointing ----

/** Index of the point nearest to x. */
function nearestPoint(points, x) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle].x < x) low = middle;
    else high = middle;
  }
  return points.length && Math.abs(points[low].x - x) <= Math.abs(points[high].x - x) ? low : high;
}

/** Mark each curve's point nearest to x, and say its value. */
function point(chart, x, left, top) {
  chart.cursor.replaceChildren();
  const rows = [];
  for (const { curve, points, smooth } of chart.shown) {
    if (!points.length) continue;
    const found = points[nearestPoint(points, x)];
    const [atX, atY] = [chart.x(found.x), chart.y(chart.inside(found.line))];
    chart.cursor.append(
      svg("line", { class: "cross", x1: atX, x2: atX, y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("circle", { class: `ring run-${curve.run % COLOURS}`, r: 4, cx: atX, cy: atY }),
    );
    let words = `${number(found.y)}`;
    if (found.e !== null && found.e !== undefined) words += ` ± ${number(Number(found.e.toPrecision(2)))}`;
    if (smooth) words += `, smoothed ${number(found.line)}`;
    if (curve.each) words += `, mean of ${curve.each} (${number(found.low)} to ${number(found.high)})`;
    if (found.n) words += `, ${number(found.n)} pictures`;
    const where = VIEW.axis === "steps" ? `step ${number(found.step)}` : `step ${number(found.step)}, ${axisWords(found.x)}`;
    rows.push(el("p", {}, ...(DATA.runs.length > 1 ? [...runName(curve.run), ": "] : []), el("strong", {}, words), el("small", {}, ` ${where}`)));
  }
  showTip(rows, left, top);
}

function showTip(rows, left, top) {
  const tip = byId("tip");
  tip.hidden = !rows.length;
  tip.replaceChildren(...rows);
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(left + 14, innerWidth - width - 4))}px`;
  tip.style.top = `${top + 18 + height > innerHeight ? Math.max(4, top - height - 12) : top + 18}px`;
}

function leave(chart) {
  if (chart.cursor) chart.cursor.replaceChildren();
  byId("tip").hidden = true;
}

function listen(chart) {
  const follow = (event) => {
    if (!chart.x) return;
    const left = chart.picture.getBoundingClientRect().left;
    const [first, second] = [chart.x(0), chart.x(1)];
    point(chart, (event.clientX - left - first) / (second - first), event.clientX, event.clientY);
  };
  chart.picture.addEventListener("pointermove", follow);
  chart.picture.addEventListener("pointerdown", follow);
  chart.picture.addEventListener("pointerleave", () => leave(chart));
  chart.box.addEventListener("blur", () => leave(chart));
  chart.box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return leave(chart);
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!by || !chart.shown || !chart.shown.length) return;
    event.preventDefault();
    const points = chart.shown.reduce((a, b) => (b.points.length > a.points.length ? b : a)).points;
    if (!points.length) return;
    chart.at = Math.max(0, Math.min(points.length - 1, (chart.at ?? -1) + by));
    const box = chart.picture.getBoundingClientRect();
    point(chart, points[chart.at].x, box.left + chart.x(points[chart.at].x), box.top + 30);
  });
}

// ---- the section ----

function summary(chart) {
  const said = chart.curves.map((curve) => {
    if (!curve.y.length) return `${DATA.runs[curve.run].name}: no finite value`;
    const last = curve.y.length - 1;
    return `${DATA.runs[curve.run].name}: from ${number(curve.y[0])} at step ${curve.x[0]} to ${number(curve.y[last])} at step ${curve.x[last]}`;
  });
  const real = chart.real.map((each) => `real pictures: ${number(each.y)}`);
  return `${chart.name}. ${[...said, ...new Set(real)].join("; ")}`;
}

function addChart(chart, parent) {
  const better = { lower: " ↓ lower is better", higher: " ↑ higher is better" }[chart.better] || "";
  chart.picture = svg("svg", { role: "img", "aria-label": summary(chart) });
  chart.why = el("p", { className: "why" });
  chart.box = el("figure", { className: "chart", tabIndex: 0 },
    el("figcaption", {}, chart.name, el("small", {}, better)), chart.picture, chart.why);
  parent.append(chart.box);
  CHARTS.push(chart);
  listen(chart);
}

function addGroup(parent, title, charts, open) {
  if (!charts.length) return;
  const inside = el("div", { className: "charts" });
  parent.append(el("details", { open }, el("summary", {}, title), inside));
  for (const chart of charts) addChart(chart, inside);
}

function startCharts() {
  const parent = byId("charts");
  if (!parent) return;
  for (const group of DATA.groups) {
    const own = DATA.charts.filter((chart) => chart.group === group && !chart.constant);
    addGroup(parent, `${group} (${own.length})`, own, true);
  }
  const constant = DATA.charts.filter((chart) => chart.constant);
  const said = constant.map((chart) => `${chart.name} ${chart.curves[0].y.length ? number(chart.curves[0].y[0]) : "none"}`);
  addGroup(parent, `What never changed: ${said.join(", ")}`, constant, false);
  const redraw = () => CHARTS.forEach(draw);
  for (const input of document.querySelectorAll("input[name=axis]")) {
    if (input.checked) VIEW.axis = input.value;
    input.addEventListener("change", () => { VIEW.axis = input.value; redraw(); });
  }
  byId("log").addEventListener("change", (event) => { VIEW.log = event.target.checked; redraw(); });
  byId("smooth").addEventListener("input", (event) => {
    VIEW.smooth = event.target.value / 100;
    byId("smooth-value").textContent = VIEW.smooth.toFixed(2);
    redraw();
  });
  for (const input of document.querySelectorAll("input.toggle")) {
    input.addEventListener("change", () => {
      VIEW.hidden[input.checked ? "delete" : "add"](Number(input.value));
      redraw();
    });
  }
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = CHARTS.find((each) => each.box === target);
      if (chart && chart.width !== target.clientWidth) draw(chart);
    }
  });
  CHARTS.forEach((chart) => watch.observe(chart.box));
  redraw();
}
