// The page of a comparison: sorts and filters the rows that are there. Nothing is computed here.
(() => {
  "use strict";
  const controls = document.getElementById("controls");
  if (!controls) return;
  const texts = controls.dataset;
  const told = document.getElementById("told");
  const order = document.getElementById("order");
  const filters = [...controls.querySelectorAll("[data-filter]")];
  const tables = [...document.querySelectorAll("table.compared")].map((table) => ({
    heads: [...table.tHead.rows[0].cells],
    body: table.tBodies[0],
    rows: [...table.tBodies[0].rows],
  }));
  const collator = new Intl.Collator("en", { numeric: true });
  let sorted = { column: -1, way: "" };

  // What sorts a cell: its number, or its words; null where there is nothing, which comes last.
  function value(row, column) {
    const cell = row.cells[column];
    const number = tables[0].heads[column].classList.contains("n") || "s" in cell.dataset;
    if (!number) return cell.textContent;
    return "s" in cell.dataset ? Number(cell.dataset.s) : null;
  }
  function compare(one, other) {
    return typeof one === "string" ? collator.compare(one, other) : one - other;
  }
  function sort(column, way) {
    sorted = { column, way };
    const sign = way === "descending" ? -1 : 1;
    for (const { heads, body, rows } of tables) {
      heads.forEach((head, n) => {
        if (n === column) head.setAttribute("aria-sort", way);
        else head.removeAttribute("aria-sort");
      });
      const keyed = rows.map((row, place) => ({ row, place, key: column < 0 ? 0 : value(row, column) }));
      keyed.sort((a, b) => (a.key === null) - (b.key === null)
        || (a.key === null ? 0 : sign * compare(a.key, b.key)) || a.place - b.place);
      body.append(...keyed.map(({ row }) => row));
    }
    order.value = column < 0 ? "" : String(column);
    tell();
  }
  function filter() {
    const wanted = filters.filter((box) => box.value !== "");
    for (const { rows } of tables) {
      for (const row of rows) {
        const at = row.dataset.at.split(" ");
        row.hidden = !wanted.every((box) => at[box.dataset.filter] === box.value);
      }
    }
    tell();
  }
  function tell() {
    const { rows, heads } = tables[0];
    const shown = rows.filter((row) => !row.hidden).length;
    const fill = (text, values) =>
      text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
    let text = fill(texts.count, { shown, all: rows.length });
    if (sorted.column >= 0) {
      const column = heads[sorted.column].querySelector(".key").textContent;
      text += fill(texts.sorted, { column, way: texts[sorted.way] });
    }
    told.textContent = text;
  }

  for (const { heads } of tables) {
    heads.forEach((head, n) => {
      const name = head.querySelector(".key");
      const button = document.createElement("button");
      button.type = "button";
      name.replaceWith(button);
      button.append(name);
      button.addEventListener("click", () => {
        const { first } = head.dataset;
        const other = first === "ascending" ? "descending" : "ascending";
        sort(n, sorted.column === n && sorted.way === first ? other : first);
      });
    });
  }
  order.addEventListener("change", () => {
    const column = order.value === "" ? -1 : Number(order.value);
    sort(column, column < 0 ? "" : tables[0].heads[column].dataset.first);
  });
  for (const box of filters) box.addEventListener("change", filter);
  controls.hidden = false;
  // A browser keeps what was chosen before a reload.
  filter();
  if (order.value !== "") order.dispatchEvent(new Event("change"));
})();
