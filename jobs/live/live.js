// Draws what the server tells: the studies, their running trials with their courses, and what ended last.
"use strict";

const WIDTH = 760, HEIGHT = 260, LEFT = 48, RIGHT = 12, TOP = 10, BOTTOM = 34;
const told = document.getElementById("told");
const frame = document.querySelector("iframe");
const again = document.getElementById("again");
const said = new Map();
let report = 0, looked = false;

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

function chart(study) {
  const courses = study.trials.filter((one) => one.course.length);
  if (!courses.length && !study.band) return null;
  const band = study.band ?? { epochs: [], low: [], middle: [], high: [] };
  const points = courses.flatMap((one) => one.course);
  const ys = [...points.map(([, value]) => value), ...band.low, ...band.high];
  const last = Math.max(2, ...courses.map((one) => one.epochs || 0), ...band.epochs, ...points.map(([epoch]) => epoch));
  const low = Math.min(...ys), high = Math.max(...ys), span = high - low || 1;
  const x = (epoch) => LEFT + (epoch - 1) / (last - 1) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (high - value) / span * (HEIGHT - TOP - BOTTOM);
  const path = (all) => all.map(([epoch, value], i) => `${i ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const zip = (values) => band.epochs.map((epoch, i) => [epoch, values[i]]);
  const what = `${study.metric} by epoch: ${courses.length} that run` + (study.band ? `, and ${study.band.trials} that ended` : "");
  const picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": what, "data-study": study.id });
  picture.append(draw("path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }));
  [[high, TOP + 4], [low, HEIGHT - BOTTOM]].forEach(([value, place]) => {
    picture.append(draw("text", { x: LEFT - 6, y: place, "text-anchor": "end" }, value.toPrecision(3)));
  });
  picture.append(draw("text", { x: LEFT, y: HEIGHT - 14 }, "epoch 1"));
  picture.append(draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 14, "text-anchor": "end" }, String(last)));
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
  return make("figure", {}, make("figcaption", {}, make("b", {}, study.metric), ` by epoch. ${caption}`), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": what }, picture));
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
  if (state.report !== report) {
    report = state.report;
    if (looked) again.hidden = false; else frame.contentWindow.location.reload();
  }
  document.documentElement.dataset.ready = "yes";
}

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
