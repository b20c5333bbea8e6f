/* Draws the figures that the server wrote into the page with json_script.

   <div class="chart" data-figures="id of the script" data-figure="key">: the script holds {key: {data, layout}}.
   Each [data-switch] inside the same [data-chart] is a part of the key, by its pressed button ("bytes-linear", "money-log", ...).
   Until this has run, the chart is hidden and [data-instead] says where the numbers are.
   Strings "var(--name)" anywhere in a figure become the page's own colours, again whenever light changes to dark. */
"use strict";

(() => {
  const CONFIG = { displayModeBar: false, responsive: true };

  const resolved = (value, styles) => {
    if (typeof value === "string") {
      const match = /^var\((--[a-z0-9-]+)\)$/.exec(value);
      return match ? styles.getPropertyValue(match[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((inner) => resolved(inner, styles));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner, styles)]));
    }
    return value;
  };

  const draw = (element) => {
    const figures = JSON.parse(document.getElementById(element.dataset.figures).textContent);
    const figure = resolved(figures[element.dataset.figure], getComputedStyle(document.documentElement));
    return window.Plotly.react(element, figure.data, figure.layout, CONFIG).then(() => {
      element.dataset.drawn = element.dataset.figure;
    });
  };

  const press = (group, pressed) => {
    for (const button of group.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === pressed));
    }
  };

  const start = (frame) => {
    const element = frame.querySelector(".chart");
    const choice = {};
    for (const group of frame.querySelectorAll("[data-switch]")) {
      group.hidden = false;
      choice[group.dataset.switch] = group.querySelector('[aria-pressed="true"]').value;
      group.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        choice[group.dataset.switch] = button.value;
        element.dataset.figure = Object.values(choice).join("-");
        press(group, button);
        draw(element);
      });
    }
    element.hidden = false;
    frame.querySelector("[data-instead]").hidden = true;
    draw(element);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(element));
  };

  for (const frame of document.querySelectorAll("[data-chart]")) start(frame);
})();
