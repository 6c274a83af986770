// The table of figures: a heading sorts by its column, and once more the other way. Empty cells come last either way.

function sortBy(table, column, kind, ascending) {
  const body = table.tBodies[0];
  const value = (row) => {
    const said = row.cells[column].dataset.value;
    return said === undefined ? null : kind === "number" ? Number(said) : said;
  };
  const compare = (a, b) => (kind === "number" ? a - b : a.localeCompare(b)) * (ascending ? 1 : -1);
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    return a === null || b === null ? (a === null) - (b === null) : compare(a, b);
  });
  body.append(...rows);
}

function startTable() {
  const table = byId("figures-table");
  if (!table) return;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, head.dataset.kind, ascending);
    });
  });
}
