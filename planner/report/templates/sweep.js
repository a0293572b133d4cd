"use strict";
(() => {
  const byId = id => document.getElementById(id);
  const controls = byId("controls"), measure = byId("measure"), view = byId("view");
  const shown = [...document.querySelectorAll(".shown")];
  const reason = byId("reason");

  function show() {
    for (const part of shown) {
      part.hidden = part.dataset.measure !== measure.value
        || part.dataset.view !== (view ? view.value : "0");
    }
    reason.textContent = "";
  }

  if (controls) {
    controls.hidden = false;
    for (const control of [measure, view]) {
      if (control) control.addEventListener("change", show);
    }
    show();
    for (const cell of document.querySelectorAll(".heat g")) {
      if (!cell.querySelector(".none")) continue;
      const text = cell.querySelector("title").textContent;
      cell.closest("svg").setAttribute("role", "group");
      cell.setAttribute("tabindex", "0");
      cell.setAttribute("role", "img");
      cell.setAttribute("aria-label", text);
      for (const kind of ["focus", "pointerenter", "click"]) {
        cell.addEventListener(kind, () => { reason.textContent = text; });
      }
    }
  }

  const table = byId("answers"), body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const first = [...body.rows];

  function value(row, n) {
    const cell = row.cells[n];
    if (!cell || cell.colSpan > 1) return null;
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  }

  function order(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), document.documentElement.lang, { numeric: true });
  }

  function sort(n) {
    const head = heads[n];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = first.map(row => [value(row, n), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return down ? order(b, a) : order(a, b);
    });
    body.append(...rows.map(([, row]) => row));
  }

  heads.forEach((head, n) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => sort(n));
  });
})();
