"""The page in a real browser: nothing in the console, every drawing drawn, tables that sort, at every size."""

import json
import re
from html import escape, unescape

from jobs.report import html
from jobs.report.contents import gather

# Each drawing with its number of marks, whether the page is wider than its window, and what sorting does, as a text
# that the harness leaves in the page. The copy's policy lets this script run; the page itself is tested as it is.
HARNESS = """
<script>
(async () => {
const report = {};
await drawAll();
report.drawings = [...document.querySelectorAll("svg")].map((one) => [
  one.getAttribute("class"), one.querySelectorAll("path, rect, text").length,
  one.getBoundingClientRect().width > 0 && one.getBoundingClientRect().height > 0]);
report.width = window.innerWidth;
report.sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
const table = document.querySelector("#leaderboard table");
const heads = [...table.tHead.rows[0].cells];
const place = heads.findIndex((one) => one.textContent.replaceAll(/\\s/g, "") === "learning_rate");
const column = () => [...table.tBodies[0].rows].map((one) => one.cells[place].textContent);
const button = heads[place].querySelector("button");
button.focus();
report.focused = document.activeElement === button;
report.sorts = [];
for (let i = 0; i < 2; i++) {
  button.click();
  report.sorts.push([heads[place].getAttribute("aria-sort"), column()]);
}
report.others = heads.filter((one) => one.getAttribute("aria-sort") === "none").length;
report.fixed = heads.filter((one) => !one.hasAttribute("aria-sort")).map((one) => one.textContent);
const visible = () => [...table.tBodies[0].rows].filter((one) => !one.hidden).length;
report.visible = [visible()];
const more = document.querySelector("#leaderboard .tools button");
if (more) { more.click(); report.visible.push(visible()); }
table.tBodies[0].querySelector("[data-c='2'] button").click();
report.pinned = document.querySelectorAll(".pinned").length;
const note = document.createElement("pre");
note.id = "harness";
note.textContent = JSON.stringify(report);
document.body.append(note);
})();
</script>
"""


def made(*paths):
    return html.page(gather(list(map(str, paths)), "nmi", "max"), "Made by a test.")


def harnessed(text):
    policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', text)[0]
    # The script that draws charts has the end of a page in it, too.
    before, end, after = text.replace(policy, "").rpartition("</html>")
    return f"{before}{HARNESS}{end}{after}"


def framed(text, width):
    """The page in a frame, for a browser's own window is never narrower than 500 pixels."""
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(text)}"></iframe>'
    copy = "document.body.append(document.querySelector('iframe').contentDocument.getElementById('harness'))"
    return f'<!doctype html><body>{frame}<script>window.addEventListener("load", () => {copy})</script></body>'


def reported(browser, text, width=None):
    page = harnessed(text)
    dom, console = browser(framed(page, width) if width else page)
    assert console == []
    return json.loads(unescape(re.search(r'<pre id="harness">(.*?)</pre>', dom, re.DOTALL)[1]))


def test_the_page_as_it_is_runs_its_script_and_no_other(store, browser):
    rows = store.fill()
    rows[0].reason = "<script>document.documentElement.dataset.taken = 'yes'</script>"
    store.put("s", rows)
    dom, console = browser(made(store.path))
    assert console == []
    assert 'data-ready="yes"' in dom
    assert "data-taken" not in dom
    assert "aria-sort" in dom


def test_a_foreign_script_is_refused_and_the_console_would_have_told(store, browser):
    store.fill()
    dom, console = browser(made(store.path).replace("</main>", "<script>document.title = 'taken'</script></main>"))
    assert "<title>taken" not in dom
    assert any("Content Security Policy" in line for line in console)


def test_every_drawing_has_its_marks_and_tables_sort_on_a_telephone(store, browser):
    store.fill()
    found = reported(browser, made(store.path), width=400)
    assert found["width"] == 400
    kinds = [kind for kind, _, _ in found["drawings"]]
    assert kinds.count("interval") == 6 + 4 + 2 + 1
    assert all(marks > 0 and shown for _, marks, shown in found["drawings"])
    assert found["focused"]
    rates = sorted(["0.0001", "0.0002", "0.0005"] * 2)
    assert found["sorts"] == [["ascending", rates], ["descending", rates[::-1]]]
    assert found["fixed"] == ["95 % interval"]
    assert found["pinned"] == 1
    assert found["sideways"] <= 0


def test_a_thousand_trials(store, browser):
    rates = [round(1e-5 * 1.05**i, 9) for i in range(100)]
    store.put("s", large(store, rates))
    text = made(store.path)
    assert len(text.encode()) < 5_000_000
    found = reported(browser, text)
    assert found["visible"] == [50, 1000]
    assert found["sorts"][0][1] == sorted(found["sorts"][0][1], key=float)
    assert len(found["sorts"][0][1]) == 1000
    assert all(marks > 0 and shown for kind, marks, shown in found["drawings"] if kind != "interval")
    assert found["sideways"] <= 0


def large(store, rates):
    """One trial for each of a thousand configurations, 100 epochs long."""
    return [
        store.attempt(
            "s",
            10 * i + j,
            0,
            {
                "optimiser.learning_rate": rate,
                "method.instance_temperature": (j + 1) / 10,
                "batch_size": 64 * (1 + i % 3),
            },
            0.4 + (i % 37) / 100 + j / 200,
            100,
        )
        for i, rate in enumerate(rates)
        for j in range(10)
    ]
