// Draws every chart of the page in place of the words that stand for it.
"use strict";

const OPTIONS = {
  ast: true, // Vega interprets its expressions: the page's policy forbids to compile them.
  renderer: "svg",
  actions: false,
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};

// A line at a time: the page can be read while it is drawn.
async function drawAll() {
  for (const place of document.querySelectorAll("[data-chart]")) {
    const words = place.textContent;
    const drawing = document.createElement("div");
    place.replaceChildren(drawing);
    try {
      await vegaEmbed(drawing, JSON.parse(place.dataset.chart), OPTIONS);
    } catch (error) {
      place.textContent = words;
      console.error(error);
    }
  }
  document.documentElement.dataset.drawn = "yes";
}

drawAll();
