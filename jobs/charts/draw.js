// Draws each chart of the page in place of the words that stand for it, once it comes near the window, and links them:
// what is picked in one of them or in the leaderboard fades the rest in all. A configuration has one number all over the
// page, in `c` and `data-c`.
"use strict";

const OPTIONS = {
  ast: true,
  expr: EXPRESSIONS,
  renderer: "svg",
  actions: false,
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};
const PIXELS = /"renderer":"canvas"/;
const COLOUR = /var\((--[\w-]+)\)/g;
const AROUND = 60;
const shared = {};
const undrawn = new Map();
const pixels = new Map();
const linked = new Set();
const stale = new Set();
const near = new Set();
const picks = new Map();
let busy = null;
let waiting = false;
let together = false;

// What is not in sight is drawn, and drawn anew, when it comes into sight: a page of thousands of marks opens soon and
// follows the pointer.
const watch = new IntersectionObserver((entries) => {
  for (const one of entries) {
    if (one.isIntersecting) near.add(one.target);
    else near.delete(one.target);
  }
  refresh();
}, { rootMargin: "100px" });

function refresh() {
  [...stale].filter((one) => near.has(placeOf(one))).forEach(renew);
  busy ??= drawNear().finally(() => { busy = null; });
}

function renew(view) {
  stale.delete(view);
  return view.signal("picked", together).runAsync();
}

function placeOf(view) {
  return view.container().parentElement;
}

// Chart after chart, those that are still near, with time for the pointer in between.
async function drawNear() {
  let next;
  while ((next = [...undrawn.keys()].find((one) => near.has(one)))) {
    delete document.documentElement.dataset.drawn;
    await draw(next);
    await new Promise((done) => { setTimeout(done, 0); });
  }
  document.documentElement.dataset.drawn = "yes";
}

// Nothing here waits for the clock or for a file, so that a browser that is about to print has all of it.
function drawForPaper() {
  fit(true);
  return drawAll();
}

// The style sheet makes the body as wide as paper; charts are drawn anew for that, and tables that are wider shrink.
function fit(isPaper) {
  document.documentElement.classList.toggle("paper", isPaper);
  dispatchEvent(new Event("resize"));
  const tables = [...document.querySelectorAll(".scroll > table")];
  const scales = tables.map((one) => (isPaper ? Math.min(1, one.parentElement.clientWidth / one.offsetWidth) : 1));
  tables.forEach((one, place) => { one.style.zoom = scales[place] < 1 ? 0.99 * scales[place] : ""; });
}

async function drawAll() {
  for (const one of undrawn.keys()) await draw(one);
  await Promise.all([...stale].map(renew));
}

async function draw(place) {
  const data = undrawn.get(place);
  undrawn.delete(place);
  const words = place.querySelector("p, div");
  const drawing = document.createElement("div");
  if (place.dataset.least) drawing.style.minWidth = `${place.dataset.least}px`;
  words.replaceWith(drawing);
  try {
    const isPixels = PIXELS.test(data.textContent);
    const chart = JSON.parse(isPixels ? data.textContent.replaceAll(COLOUR, colour) : data.textContent);
    chart.datasets = { ...shared, ...chart.datasets };
    const isLinked = chart.params?.find((one) => one.name === "picked");
    if (isLinked) isLinked.value = together;
    const { view } = await vegaEmbed(drawing, chart, OPTIONS);
    if (isPixels) pixels.set(place, [data, view]);
    if (isLinked) link(view, chart);
  } catch (error) {
    drawing.replaceWith(words);
    console.error(error);
  }
  place.style.minHeight = "";
}

// Pixels do not follow the style sheet from light to dark.
function colour(_, name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, [data, view]] of pixels) {
    linked.delete(view);
    stale.delete(view);
    if (picks.has(view)) pick(view, null);
    view.finalize();
    undrawn.set(place, data);
  }
  pixels.clear();
  refresh();
});

function link(view, chart) {
  linked.add(view);
  const brush = chart.params.find((one) => one.name === "brush");
  if (!brush) return;
  const brushed = chart.layer.find((one) => one.name === brush.views[0]);
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

addEventListener("beforeprint", drawForPaper);
addEventListener("afterprint", () => { fit(false); });
for (const one of document.querySelectorAll("script.rows")) Object.assign(shared, JSON.parse(one.textContent));
for (const one of document.querySelectorAll("script.chart")) {
  const place = one.parentElement;
  undrawn.set(place, one);
  // As high as the chart will be: where a link leads to is there before the charts above it are.
  place.style.minHeight = `${Number(place.dataset.height) + AROUND}px`;
  watch.observe(place);
}
