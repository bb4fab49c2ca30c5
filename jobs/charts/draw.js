// Draws every chart of the page in place of the words that stand for it, and links them: what is picked in one of them
// or in the leaderboard fades the rest in all. A configuration has one number all over the page, in `c` and `data-c`.
"use strict";

const OPTIONS = {
  ast: true, // Vega interprets its expressions: the page's policy forbids to compile them.
  renderer: "svg",
  actions: false,
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};
const PIXELS = /"renderer":"canvas"/;
const COLOUR = /var\((--[\w-]+)\)/g;
const shared = {};
const pixels = new Map();
const linked = new Set();
const stale = new Set();
const near = new Set();
const picks = new Map();
let waiting = false;
let together = false;

// What is not in sight is drawn anew when it comes into sight: a page of thousands of marks follows the pointer.
const watch = new IntersectionObserver((entries) => {
  for (const one of entries) {
    if (one.isIntersecting) near.add(one.target);
    else near.delete(one.target);
  }
  refresh();
}, { rootMargin: "200px" });

function refresh() {
  for (const view of [...stale].filter((one) => near.has(one.container()))) {
    stale.delete(view);
    view.signal("picked", together).runAsync();
  }
}

// A line at a time: the page can be read while it is drawn.
async function drawAll() {
  for (const one of document.querySelectorAll("script.rows")) Object.assign(shared, JSON.parse(one.textContent));
  for (const one of document.querySelectorAll("script.chart")) await draw(one);
  document.documentElement.dataset.drawn = "yes";
}

async function draw(data) {
  const place = data.parentElement;
  const words = place.querySelector("p, div");
  const drawing = document.createElement("div");
  if (place.dataset.least) drawing.style.minWidth = `${place.dataset.least}px`;
  words.replaceWith(drawing);
  try {
    const isPixels = PIXELS.test(data.textContent);
    const chart = JSON.parse(isPixels ? data.textContent.replaceAll(COLOUR, colour) : data.textContent);
    chart.datasets = { ...shared, ...chart.datasets };
    const { view } = await vegaEmbed(drawing, chart, OPTIONS);
    if (isPixels) pixels.set(data, view);
    link(view, chart);
  } catch (error) {
    drawing.replaceWith(words);
    console.error(error);
  }
}

// Pixels do not follow the style sheet from light to dark.
function colour(_, name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", async () => {
  for (const [data, view] of pixels) {
    linked.delete(view);
    view.finalize();
    await draw(data);
  }
});

function link(view, chart) {
  const names = (chart.params ?? []).map((one) => one.name);
  if (!names.includes("picked")) return;
  linked.add(view);
  watch.observe(view.container());
  if (!names.includes("brush")) return;
  const brushed = chart.layer.find((one) => one.name === chart.params.find((each) => each.name === "brush").views[0]);
  const rows = chart.datasets[(brushed.data ?? chart.data).name];
  view.addSignalListener("brush", (_, ranges) => { pick(view, within(rows, ranges)); });
}

// The configurations of the rows that lie in a range of each field. Of a line, whose fields are lists, each point in the
// range across must lie in the range upwards.
function within(rows, ranges) {
  const fields = Object.keys(ranges).filter((one) => ranges[one]?.length);
  if (!fields.length) return null;
  const [across, upwards] = fields.length > 1 ? fields : [null, fields[0]];
  const found = new Set();
  for (const row of rows) {
    const points = [row[upwards]].flat().map((one, place) => [across && [row[across]].flat()[place], one]);
    const there = points.filter(([x]) => across === null || inside(x, ranges[across]));
    if (there.length && there.every(([, y]) => inside(y, ranges[upwards]))) found.add(row.c);
  }
  return found;
}

function inside(value, range) {
  return typeof value === "number" ? value >= Math.min(...range) && value <= Math.max(...range) : range.includes(value);
}

// Keeps what `source` picks, a set of numbers or null for all, and soon shows what all sources pick together.
function pick(source, numbers) {
  if (numbers === null) picks.delete(source);
  else picks.set(source, numbers);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const [first, ...others] = picks.values();
    const both = first && [...first].filter((one) => others.every((each) => each.has(one)));
    together = both ? Object.fromEntries(both.map((one) => [one, true])) : false;
    document.dispatchEvent(new CustomEvent("picked", { detail: together }));
    linked.forEach((view) => stale.add(view));
    refresh();
  });
}

drawAll();
