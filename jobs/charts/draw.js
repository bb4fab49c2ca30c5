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
const views = [];
const picks = new Map();
let waiting = false;

// A line at a time: the page can be read while it is drawn.
async function drawAll() {
  const shared = {};
  for (const one of document.querySelectorAll("[data-rows]")) Object.assign(shared, JSON.parse(one.dataset.rows));
  for (const place of document.querySelectorAll("[data-chart]")) {
    const words = place.textContent;
    const drawing = document.createElement("div");
    if (place.dataset.least) drawing.style.minWidth = `${place.dataset.least}px`;
    place.replaceChildren(drawing);
    try {
      const chart = JSON.parse(place.dataset.chart);
      chart.datasets = { ...shared, ...chart.datasets };
      link((await vegaEmbed(drawing, chart, OPTIONS)).view, chart);
    } catch (error) {
      place.textContent = words;
      console.error(error);
    }
  }
  document.documentElement.dataset.drawn = "yes";
}

function link(view, chart) {
  const names = (chart.params ?? []).map((one) => one.name);
  if (!names.includes("picked")) return;
  views.push(view);
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
  requestAnimationFrame(async () => {
    waiting = false;
    const [first, ...others] = picks.values();
    const both = first && [...first].filter((one) => others.every((each) => each.has(one)));
    const picked = both ? Object.fromEntries(both.map((one) => [one, true])) : false;
    document.dispatchEvent(new CustomEvent("picked", { detail: picked }));
    await Promise.all(views.map((view) => view.signal("picked", picked).runAsync()));
  });
}

drawAll();
