// What the page can do beyond being read: sort tables, show more rows, follow one configuration through the drawings.
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

function fold(table) {
  const all = table.dataset.all === "yes";
  [...table.tBodies[0].rows].forEach((row, i) => { row.hidden = !all && i >= SHOWN_ROWS; });
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

function follow(rank, on) {
  document.querySelectorAll(`[data-c="${rank}"]`).forEach((one) => {
    one.classList.toggle("pinned", on);
    if (on && one instanceof SVGElement) one.parentNode.append(one);
  });
}

function makeFollowable(row) {
  const cell = row.cells[0];
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = cell.textContent;
  button.title = "Follow this configuration through the drawings";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(on));
    follow(row.dataset.c, on);
  });
  cell.replaceChildren(button);
}

function makeChoosable(drawing) {
  const lines = [...drawing.querySelectorAll(".run")];
  const label = document.createElement("label");
  const select = document.createElement("select");
  const wanted = { "all": lines.length, "best tenth": Math.ceil(lines.length / 10), "best half": Math.ceil(lines.length / 2) };
  for (const name of Object.keys(wanted)) select.add(new Option(`${name} (${wanted[name]})`, name));
  select.addEventListener("change", () => {
    lines.forEach((line) => { line.toggleAttribute("hidden", Number(line.dataset.c) > wanted[select.value]); });
  });
  label.append("Lines: ", select);
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.append(label);
  drawing.parentElement.before(tools);
}

document.querySelectorAll("table.sortable").forEach((table) => { makeSortable(table); makeFoldable(table); });
document.querySelectorAll("tr[data-c]").forEach(makeFollowable);
document.querySelectorAll("svg.parallel").forEach(makeChoosable);
document.documentElement.dataset.ready = "yes";
