// Switches of how frames are shown.

import { byId, el } from "./dom.js";

const OVERLAYS = [
  ["boxes", "Boxes"],
  ["masks", "Outlines of masks"],
  ["tails", "Tails of tracks"],
  ["labels", "Labels and scores"],
  ["suppressed", "What filters keep quiet"],
];

export function showDisplayPanel(display) {
  const check = ([key, title]) =>
    el("label", { class: "check" }, el("input", { type: "checkbox", checked: display[key], onchange: (event) => display.set(key, event.target.checked) }), title);
  const slide = (key, title, min, max, step) => {
    const shown = el("output", {}, String(display[key]));
    const input = el("input", {
      type: "range", min, max, step, value: display[key],
      oninput: (event) => {
        display.set(key, Number(event.target.value));
        shown.textContent = event.target.value;
      },
    });
    return el("label", { class: "slide" }, el("span", {}, title, " ", shown), input);
  };
  const percentiles = el("div", {}, slide("low", "Darkest percentile", 0, 20, 0.1), slide("high", "Brightest percentile", 80, 100, 0.1));
  const window_ = el("div", {}, slide("level", "Level, % of the range", 0, 100, 0.5), slide("window", "Window, % of the range", 0.5, 100, 0.5));
  const mode = el(
    "select",
    { onchange: (event) => display.set("mode", event.target.value) },
    el("option", { value: "percentiles", selected: display.mode === "percentiles" }, "percentiles of each frame"),
    el("option", { value: "window", selected: display.mode === "window" }, "window and level"),
  );
  const update = () => {
    percentiles.hidden = display.mode !== "percentiles";
    window_.hidden = display.mode === "percentiles";
  };
  display.addEventListener("change", update);
  update();
  byId("panel-display").append(
    el("fieldset", {}, el("legend", {}, "Grey"), el("label", {}, "Stretch ", mode), percentiles, window_, check(["inverted", "Black is hot"])),
    el("fieldset", {}, el("legend", {}, "Over the frame"), OVERLAYS.map(check)),
    el(
      "fieldset",
      {},
      el("legend", {}, "Frames"),
      check(["live", "Newest frame at once"]),
      el("p", { class: "quiet" }, "Off: each frame waits for its row, so boxes lie where the row says. On: boxes are those of an earlier frame."),
    ),
  );
}
