// What the page can do beyond being read: sort tables, show more rows, pick configurations for the drawings.
"use strict";

const SHOWN_ROWS = 50;
const NUMBER = /^[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?(\s*±.*)?$/i;

function value(cell) {
  const text = cell.textContent.trim();
  return NUMBER.test(text) ? parseFloat(text.replaceAll(",", "")) : text;
}

// Numbers before words, empty cells last whichever way the table is sorted.
function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
}

function sort(table, index, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [value(row.cells[index]), row]);
  rows.sort((a, b) => compare(a[0], b[0], direction === "ascending" ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", i === index ? direction : "none");
  });
  fold(table);
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (!head.textContent.trim() || "fixed" in head.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      sort(table, index, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
  });
}

let picked = false;

// The first rows, and of what is picked, the first rows of these.
function fold(table) {
  const all = table.dataset.all === "yes";
  let chosen = 0;
  [...table.tBodies[0].rows].forEach((row, i) => {
    const is = picked && row.dataset.c && picked[row.dataset.c];
    row.classList.toggle("dim", Boolean(picked && row.dataset.c && !is));
    row.hidden = !all && i >= SHOWN_ROWS && !(is && chosen < SHOWN_ROWS);
    chosen += is ? 1 : 0;
  });
}

function makeFoldable(table) {
  const count = table.tBodies[0].rows.length;
  if (count <= SHOWN_ROWS) return;
  const button = document.createElement("button");
  const name = () => { button.textContent = table.dataset.all === "yes" ? `Show ${SHOWN_ROWS}` : `Show all ${count}`; };
  button.type = "button";
  button.addEventListener("click", () => {
    table.dataset.all = table.dataset.all === "yes" ? "no" : "yes";
    name();
    fold(table);
  });
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.append(button);
  table.parentElement.after(tools);
  name();
  fold(table);
}

const pinned = new Set();

function makeFollowable(row) {
  const cell = row.cells[0];
  const button = document.createElement("button");
  const number = Number(row.dataset.c);
  button.type = "button";
  button.textContent = cell.textContent;
  button.title = "Pick this configuration: all others fade in the drawings";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const on = !pinned.delete(number);
    if (on) pinned.add(number);
    button.setAttribute("aria-pressed", String(on));
    row.classList.toggle("pinned", on);
    pick("rows", pinned.size ? pinned : null);
  });
  cell.replaceChildren(button);
}

document.addEventListener("picked", (event) => {
  picked = event.detail;
  document.querySelectorAll("table:has(tr[data-c])").forEach(fold);
});
document.querySelectorAll("table.sortable").forEach((table) => { makeSortable(table); makeFoldable(table); });
// Without charts, there is nothing to pick for.
if (typeof pick === "function") document.querySelectorAll("tr[data-c]").forEach(makeFollowable);
document.documentElement.dataset.ready = "yes";
