// Pictures: sheets by checkpoint, of which single pictures are cut out on canvases.

const SHOWN = { at: 0, steps: [], timer: null };
const LOADED = new Map();

/** The picture of a data URI, decoded once. */
function load(uri) {
  if (!LOADED.has(uri)) {
    const picture = new Image();
    picture.src = uri;
    LOADED.set(uri, picture.decode().then(() => picture));
  }
  return LOADED.get(uri);
}

/** A canvas with one picture of a sheet. */
function cell(sheet, row, column, words) {
  const canvas = el("canvas", { width: sheet.side, height: sheet.side, role: "img", "aria-label": words, title: words });
  if (sheet.side <= 64) canvas.className = "pixels";
  const [left, top, side] = [column * sheet.side, row * sheet.side, sheet.side];
  load(sheet.uri).then((picture) => canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, side, side));
  return canvas;
}

/** A sheet of which nobody knows where its pictures lie. */
function whole(sheet, words) {
  return el("img", { src: sheet.uri, alt: words, className: "whole" });
}

function promptOf(frames, row) {
  return frames.prompts[row] ?? `row ${row + 1}`;
}

function stepWords(step) {
  return `step ${step.toLocaleString("en-US")}`;
}

/** Index of the newest frame that is no later than a step; the first where all are later. */
function frameAt(steps, step) {
  return Math.max(0, steps.findLastIndex((each) => each <= step));
}

function heading(run, words) {
  return el("h3", {}, ...(DATA.runs.length > 1 ? [...runName(run), ": "] : []), words);
}

function scroll(label, inside) {
  return el("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": label }, inside);
}

/** Rows of pictures, each after its prompt. */
function rowsOf(sheet, frames, step) {
  const rows = [];
  for (let row = 0; row < sheet.rows; row += 1) {
    const prompt = promptOf(frames, row);
    const cells = [];
    for (let column = 0; column < sheet.columns; column += 1) {
      cells.push(el("td", {}, cell(sheet, row, column, `${prompt}, picture ${column + 1}, ${stepWords(step)}`)));
    }
    rows.push(el("tr", {}, el("th", { scope: "row", className: "prompt" }, prompt), ...cells));
  }
  return el("tbody", {}, ...rows);
}

function gridAt(run, frames, step) {
  const index = frameAt(frames.steps, step);
  const [sheet, own] = [frames.sheets[index], frames.steps[index]];
  const title = `${stepWords(own)}${frames.source === "samples" ? ", drawn by training" : ""}`;
  const inside = sheet.side
    ? el("table", { className: "pictures large" }, rowsOf(sheet, frames, own))
    : whole(sheet, `samples of ${stepWords(own)}: ${frames.prompts.join(", ")}`);
  return el("div", { className: "picked" }, heading(run, title), inside);
}

function filmsAt(run, frames, step) {
  const index = frameAt(frames.steps, step);
  const [sheet, own] = [frames.sheets[index], frames.steps[index]];
  const title = `denoising strips, ${stepWords(own)}: from noise to picture`;
  const inside = sheet.side
    ? el("table", { className: "pictures film" }, rowsOf(sheet, frames, own))
    : whole(sheet, `denoising strips of ${stepWords(own)}`);
  return el("div", { className: "picked" }, heading(run, title), scroll(title, inside));
}

function nearestAt(run, all, step) {
  const found = all[frameAt(all.map((each) => each.step), step)];
  const { sheet } = found;
  const title = `drawn pictures nearest to training pictures, ${stepWords(found.step)}: is it only memory?`;
  if (!sheet.side) return el("div", { className: "picked" }, heading(run, title), whole(sheet, title));
  const rows = found.rows.slice(0, sheet.rows).map((said, row) => {
    const distance = said.distance === null ? "" : `distance ${number(said.distance)}`;
    const cells = [el("td", { className: "near" }, cell(sheet, row, 0, `drawn: ${said.prompt}`), el("span", { className: "caption" }, "drawn"))];
    for (let column = 1; column < sheet.columns; column += 1) {
      const caption = said.captions[column - 1] ?? "";
      const words = `training picture ${column}: ${caption}`;
      cells.push(el("td", { className: "near" }, cell(sheet, row, column, words), el("span", { className: "caption" }, caption)));
    }
    const head = el("th", { scope: "row", className: "prompt" }, said.prompt, el("br"), el("small", {}, distance));
    return el("tr", {}, head, ...cells);
  });
  return el("div", { className: "picked" }, heading(run, title),
    scroll(title, el("table", { className: "pictures near" }, el("tbody", {}, ...rows))));
}

// ---- one checkpoint ----

function showCheckpoint() {
  const step = SHOWN.steps[SHOWN.at];
  const count = `${SHOWN.at + 1} of ${SHOWN.steps.length}`;
  byId("checkpoint-value").textContent = `${stepWords(step)} (${count})`;
  byId("checkpoint").setAttribute("aria-valuetext", stepWords(step));
  const of = (kind, make) => DATA.pictures.map((each, run) => {
    const found = each[kind];
    return found && (!Array.isArray(found) || found.length) ? make(run, found, step) : null;
  }).filter((made) => made);
  const side = (made) => el("div", { className: "side" }, ...made);
  byId("grids").replaceChildren(side(of("grid", gridAt)));
  byId("films").replaceChildren(side(of("films", filmsAt)));
  byId("nearest").replaceChildren(side(of("nearest", nearestAt)));
}

function play() {
  const button = byId("play");
  if (SHOWN.timer) {
    clearInterval(SHOWN.timer);
    SHOWN.timer = null;
  } else {
    if (SHOWN.at === SHOWN.steps.length - 1) goTo(0);
    SHOWN.timer = setInterval(() => {
      if (SHOWN.at === SHOWN.steps.length - 1) play();
      else goTo(SHOWN.at + 1);
    }, 600);
  }
  button.textContent = SHOWN.timer ? "❚❚ stop" : "▶ play";
}

function goTo(index) {
  SHOWN.at = index;
  byId("checkpoint").value = index;
  showCheckpoint();
}

// ---- a film of all checkpoints ----

const EVERY = -1;

/** All prompts of all runs, each once, in order. */
function allPrompts() {
  const found = new Set();
  for (const { grid } of DATA.pictures) {
    if (!grid || !grid.sheets[0].side) continue;
    for (let row = 0; row < grid.sheets[0].rows; row += 1) found.add(promptOf(grid, row));
  }
  return [...found];
}

/** Rows of a film: of one prompt all seeds, or of every prompt the first seed. */
function filmRows(frames, prompt) {
  const { rows, columns } = frames.sheets[0];
  const all = Array.from({ length: rows }, (_, row) => row);
  if (prompt === null) return all.map((row) => ({ row, column: 0, words: promptOf(frames, row) }));
  const row = all.find((each) => promptOf(frames, each) === prompt);
  if (row === undefined) return [];
  return Array.from({ length: columns }, (_, column) => ({ row, column, words: `seed ${column + 1}` }));
}

function filmOf(run, frames, prompt) {
  const title = prompt === null ? "every prompt, first seed" : prompt;
  if (!frames.sheets[0].side) {
    const sheets = frames.sheets.map((sheet, i) => el("td", {}, el("small", {}, stepWords(frames.steps[i])), whole(sheet, stepWords(frames.steps[i]))));
    return el("div", { className: "picked" }, heading(run, "all samples"), scroll("film", el("table", {}, el("tr", {}, ...sheets))));
  }
  const heads = frames.steps.map((step) => el("th", { scope: "col" }, step.toLocaleString("en-US")));
  const rows = filmRows(frames, prompt).map(({ row, column, words }) => el("tr", {},
    el("th", { scope: "row", className: "prompt" }, words),
    ...frames.sheets.map((sheet, i) => {
      const there = row < sheet.rows && column < sheet.columns && sheet.side;
      return el("td", {}, there ? cell(sheet, row, column, `${promptOf(frames, row)}, seed ${column + 1}, ${stepWords(frames.steps[i])}`) : "–");
    })));
  if (!rows.length) return null;
  const table = el("table", { className: "pictures film" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col", className: "prompt" }, "step"), ...heads)), el("tbody", {}, ...rows));
  const left = frames.left_out ? el("p", { className: "note" }, `${frames.left_out} checkpoints between these are not shown`) : null;
  return el("div", { className: "picked" }, heading(run, title), scroll(`film: ${title}`, table), left);
}

function showFilm() {
  const select = byId("prompt");
  const prompt = Number(select.value) === EVERY ? null : allPrompts()[Number(select.value)];
  const made = DATA.pictures.map((each, run) => (each.grid ? filmOf(run, each.grid, prompt) : null)).filter((each) => each);
  byId("grids").replaceChildren(...made);
  byId("films").replaceChildren();
  byId("nearest").replaceChildren();
}

function startPictures() {
  const slider = byId("checkpoint");
  if (!slider) return;
  const steps = new Set();
  for (const { grid, films, nearest } of DATA.pictures) {
    for (const frames of [grid, films]) if (frames) frames.steps.forEach((step) => steps.add(step));
    nearest.forEach((each) => steps.add(each.step));
  }
  SHOWN.steps = [...steps].sort((a, b) => a - b);
  slider.max = SHOWN.steps.length - 1;
  slider.addEventListener("input", () => goTo(Number(slider.value)));
  byId("play").addEventListener("click", play);
  const select = byId("prompt");
  select.append(el("option", { value: EVERY }, "every prompt, first seed"));
  allPrompts().forEach((prompt, i) => select.append(el("option", { value: i }, prompt)));
  select.addEventListener("change", showFilm);
  for (const input of document.querySelectorAll("input[name=view]")) {
    input.addEventListener("change", () => {
      const film = input.value === "film";
      if (SHOWN.timer) play();
      byId("at").hidden = film;
      byId("of").hidden = !film;
      if (film) showFilm();
      else showCheckpoint();
    });
  }
  goTo(SHOWN.steps.length - 1);
}
