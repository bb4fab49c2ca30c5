// Draws what the server tells: the studies, their running trials with their courses, and what ended last.
"use strict";

const WIDEST = 760, BESIDE = 42, HEIGHT = 260, LEFT = 48, RIGHT = 12, TOP = 10, BOTTOM = 34;
const told = document.getElementById("told");
const frame = document.querySelector("iframe");
const again = document.getElementById("again");
const said = new Map();
let report = 0, making = null, looked = false;

function make(name, about = {}, ...inside) {
  const one = document.createElement(name);
  Object.entries(about).forEach(([key, value]) => { if (value !== null) one.setAttribute(key, value); });
  one.append(...inside);
  return one;
}

function draw(name, about, ...inside) {
  const one = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(about).forEach(([key, value]) => one.setAttribute(key, value));
  one.append(...inside);
  return one;
}

async function stop(study, trial, button) {
  button.disabled = true;
  said.set(study, trial ? `Trial ${trial} is asked to end.` : "The study is asked to stop.");
  let answer = "The server does not answer.";
  try {
    const body = JSON.stringify({ study, trial });
    const back = await fetch("/stop", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    answer = (await back.json()).said;
  } catch { /* told below */ }
  said.set(study, answer);
  const place = [...document.querySelectorAll("[data-said]")].find((one) => one.dataset.said === study);
  if (place) place.textContent = answer;
}

// The second press within some seconds does it: no study ends by a slip.
function stopButton(name, study, trial) {
  const button = make("button", { type: "button", "data-stop": trial ?? "" }, name);
  button.addEventListener("click", () => {
    if (button.dataset.sure) { stop(study, trial, button); return; }
    button.dataset.sure = "yes";
    button.textContent = `${name}: sure?`;
    setTimeout(() => { delete button.dataset.sure; button.textContent = name; }, 4000);
  });
  return button;
}

// Tables and drawings are replaced as a whole but for buttons, which somebody may be about to press.
function table(label, heads, rows) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one))));
  const body = make("tbody", {}, ...rows);
  // Where a row has no room on a line, each cell shows its head.
  rows.forEach((row) => [...row.cells].forEach((one, i) => { one.dataset.head = heads[i]; }));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, make("table", {}, head, body));
}

function cells(values, about = {}) {
  return make("tr", about, ...values.map((one) => (one instanceof Element ? make("td", {}, one) : make("td", {}, String(one)))));
}

function trialRow(study, one, before) {
  const of = one.epochs ? `${one.epoch}/${one.epochs}` : String(one.epoch);
  const bar = make("progress", { max: one.epochs || 1, value: one.epochs ? one.epoch : 0, "aria-label": `epoch ${of}` });
  const epoch = make("span", {}, bar, ` ${of}`);
  const button = one.state === "running" ? before.get(one.key) ?? stopButton("Stop", study.id, one.key) : "";
  const left = one.left && `about ${one.left}`;
  const row = cells([one.key, one.seed, one.state, epoch, one.loss, one.value, left, one.verdict, button], { "data-key": one.key });
  row.addEventListener("pointerenter", () => follow(study, one.key, true));
  row.addEventListener("pointerleave", () => follow(study, one.key, false));
  return row;
}

function follow(study, key, on) {
  const drawing = [...document.querySelectorAll("svg")].find((one) => one.dataset.study === study.id);
  drawing?.querySelectorAll(".course").forEach((one) => {
    one.classList.toggle("on", on && one.dataset.key === key);
    one.classList.toggle("dim", on && one.dataset.key !== key);
  });
}

// Round numbers between two, about four, as text.
function ticks(low, high) {
  const rough = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const places = Array.from({ length: 6 }, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step).filter((one) => one <= high + step * 1e-9);
  const write = (value) => (digits > 4 ? value.toExponential(2) : value.toFixed(digits));
  return low === high ? [[low, low.toPrecision(3)]] : places.map((one) => [one, write(one)]);
}

function chart(study) {
  const courses = study.trials.filter((one) => one.course.length);
  if (!courses.length && !study.band) return null;
  const band = study.band ?? { epochs: [], low: [], middle: [], high: [] };
  const points = courses.flatMap((one) => one.course);
  const ys = [...points.map(([, value]) => value), ...band.low, ...band.high];
  const width = Math.min(WIDEST, document.getElementById("studies").clientWidth - BESIDE);
  const first = Math.min(...band.epochs, ...points.map(([epoch]) => epoch));
  const last = Math.max(first + 1, ...courses.map((one) => one.epochs || 0), ...band.epochs, ...points.map(([epoch]) => epoch));
  const low = Math.min(...ys), high = Math.max(...ys), span = high - low || 1;
  const x = (epoch) => LEFT + (epoch - first) / (last - first) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (high - value) / span * (HEIGHT - TOP - BOTTOM);
  const path = (all) => all.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const zip = (values) => band.epochs.map((epoch, i) => [epoch, values[i]]);
  const what = `${study.metric} by epoch: ${courses.length} that run` + (study.band ? `, and ${study.band.trials} that ended` : "");
  const picture = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": what, "data-study": study.id });
  picture.append(draw("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${width - RIGHT}` }));
  ticks(low, high).forEach(([value, text]) => {
    picture.append(draw("path", { class: "tick", d: `M${LEFT} ${y(value).toFixed(1)}H${width - RIGHT}` }));
    picture.append(draw("text", { class: "value", x: LEFT - 6, y: y(value) + 5, "text-anchor": "end" }, text));
  });
  picture.append(draw("text", { x: LEFT, y: HEIGHT - 14 }, `epoch ${first}`));
  picture.append(draw("text", { x: width - RIGHT, y: HEIGHT - 14, "text-anchor": "end" }, String(last)));
  if (study.band) {
    picture.append(draw("path", { class: "band", d: `${path(zip(band.high))}${path(zip(band.low).reverse()).replace("M", "L")}Z` }));
    picture.append(draw("path", { class: "middle", d: path(zip(band.middle)) }));
  }
  courses.forEach((one) => {
    const line = draw("path", { class: `course ${one.state}`, d: path(one.course), "data-key": one.key });
    line.append(draw("title", {}, `trial ${one.key}, seed ${one.seed}: ${one.value} after epoch ${one.epoch}`));
    picture.append(line);
  });
  const caption = study.band
    ? `Lines: trials that run. Band: eight of ten of the ${study.band.trials} finished trials; dotted: their median.`
    : "Lines: trials that run. A band comes with the third finished trial.";
  return make("figure", {}, make("figcaption", {}, make("b", {}, study.metric), ` by epoch. ${caption}`), picture);
}

function section(study, old) {
  const before = new Map();
  old?.querySelectorAll("tr[data-key] button").forEach((one) => before.set(one.closest("tr").dataset.key, one));
  const whole = old?.querySelector(".top button") ?? stopButton("Stop the study", study.id, null);
  whole.hidden = !study.runs;
  const head = make("div", { class: "top" }, make("h1", {}, study.headline), whole);
  const about = study.about.map((one) => make("p", {}, one));
  const warned = study.warnings.map((one) => make("p", { class: "bad" }, `Warning: ${one}`));
  const answer = make("p", { class: "note", "data-said": study.id }, said.get(study.id) ?? "");
  const parts = [head, ...about, ...warned, answer];
  if (study.trials.length) {
    const heads = ["trial", "seed", "state", "epoch", "loss", study.metric, "left", "health", ""];
    parts.push(make("h2", {}, "Trials that run"), table("Trials that run", heads, study.trials.map((one) => trialRow(study, one, before))));
    if (study.more) parts.push(make("p", { class: "note" }, `and ${study.more} more`));
  }
  const picture = chart(study);
  if (picture) parts.push(picture);
  if (study.ended.length) {
    const rows = study.ended.map((one) => cells([one.at, one.key, one.seed, one.status, one.value, one.seconds, one.reason]));
    rows.forEach((one) => { one.lastChild.className = "reason"; });
    const heads = ["at", "trial", "seed", "status", study.metric, "took", "reason"];
    parts.push(make("h2", {}, "Ended last"), table("Ended last", heads, rows));
  }
  return make("section", { "data-study": study.id }, ...parts);
}

function show(state) {
  const place = document.getElementById("studies");
  const focus = document.activeElement;
  const old = new Map([...place.children].map((one) => [one.dataset.study, one]));
  place.replaceChildren(...state.studies.map((one) => section(one, old.get(one.id))));
  if (focus?.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true });
  document.title = `${state.studies.map((one) => `${one.done}/${one.planned} ${one.study}`).join(", ")} · conclus`;
  told.textContent = state.trouble ? `The results cannot be read: ${state.trouble}` : `As of ${new Date().toLocaleTimeString()}`;
  making = state.making;
  age();
  if (state.report !== report) {
    report = state.report;
    if (looked) again.hidden = false; else frame.contentWindow.location.reload();
  }
  document.documentElement.dataset.ready = "yes";
}

// Since when a report is made, by the clock of this machine, on which the server runs, too.
function age() {
  const [since, took] = making ?? [];
  const before = took ? `; the last one took ${took}` : "";
  document.getElementById("age").textContent = making
    ? `It is being made, for ${Math.max(0, Math.round(Date.now() / 1000 - since))} s so far${before}.`
    : "It is made anew as trials end.";
}
setInterval(age, 1000);

// The report is as high as it is, so that the page scrolls as one; what somebody has touched is not taken away.
frame.addEventListener("load", () => {
  const inner = frame.contentDocument;
  const fit = () => { frame.style.height = `${Math.ceil(inner.documentElement.getBoundingClientRect().height)}px`; };
  new ResizeObserver(fit).observe(inner.documentElement);
  ["pointerdown", "keydown"].forEach((one) => inner.addEventListener(one, () => { looked = true; }));
});
again.addEventListener("click", () => { looked = false; again.hidden = true; frame.contentWindow.location.reload(); });

history.replaceState(null, "", "/");
const source = new EventSource("/events");
source.addEventListener("state", (event) => show(JSON.parse(event.data)));
source.addEventListener("end", () => { source.close(); told.textContent = "The study has ended, and the server with it."; });
source.addEventListener("error", () => { told.textContent = "The server does not answer; trying again."; });
