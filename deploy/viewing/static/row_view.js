// One frame: its picture with what was found, its targets, the way of its message, the track of a target.

import { askFrames } from "./api.js";
import { byId, el } from "./dom.js";
import { PictureView } from "./picture.js";
import { detectionAt } from "./pointing.js";
import { showStrip } from "./strip.js";
import { targetTable } from "./targets.js";

export class RowView {
  #view = null;
  #asked = 0;

  constructor(store, display) {
    this.store = store;
    this.display = display;
    this.element = byId("row-view");
    const draw = () => this.#view?.draw();
    display.addEventListener("change", draw);
    addEventListener("resize", draw);
  }

  close() {
    this.#asked += 1;
    this.#view = null;
    this.element.replaceChildren();
  }

  async open(address) {
    const [position, index] = decodeURIComponent(address).split("?detection=");
    const asked = ++this.#asked;
    this.element.replaceChildren(el("p", { class: "pad quiet", role: "status" }, `Looking for ${position}…`));
    try {
      const answer = await askFrames(`/api/row?${new URLSearchParams({ position })}`);
      if (asked === this.#asked) this.#show(position, answer, index === undefined ? null : Number(index));
    } catch (error) {
      if (asked === this.#asked) this.element.replaceChildren(el("p", { class: "trouble" }, error.message));
    }
  }

  #show(position, { frames: [frame], lines, sensor_id: sensorId }, index) {
    const view = new PictureView(this.display);
    this.#view = view;
    const targets = el("div", {});
    const strip = el("div", { "aria-live": "polite" });
    const choose = (chosen) => {
      view.chosen = chosen;
      targets.replaceChildren(el("h2", {}, "Targets"), targetTable(frame.row, choose, chosen));
      view.draw();
      const trackId = frame.row?.detections[chosen]?.track_id;
      if (!trackId) strip.replaceChildren(el("p", { class: "quiet" }, chosen === null ? "Choose a target to see its track." : "This detection is in no track."));
      else this.#track(strip, view, frame, { sensorId, trackId, at: position });
    };
    view.element.addEventListener("click", (event) => {
      if (!frame.row) return;
      const found = detectionAt(view.overlay, frame.row, event);
      if (found !== null) choose(found);
    });
    const sensor = sensorId === null ? null : this.store.byName(sensorId);
    this.element.replaceChildren(
      el(
        "div",
        { class: "head" },
        el("h1", {}, sensorId ?? "no sensor"),
        sensor ? el("a", { href: `#/sensor/${sensor.key}` }, "live") : null,
        el("span", { class: "quiet" }, position),
        this.#neighbours(position),
      ),
      el("div", { class: "two" }, el("div", {}, view.element), targets),
      el("section", { class: "part" }, el("h2", {}, "Track"), strip),
      el("section", { class: "part" }, el("h2", {}, "Its way"), el("div", { class: "scroll" }, el("table", { class: "way" }, el("tbody", {}, lines.map(([name, words]) => el("tr", {}, el("th", { scope: "row", class: name.startsWith(" ") ? "inner" : null }, name.trim()), el("td", {}, words))))))),
    );
    view.show(frame);
    const first = frame.row?.detections.find((each) => each.suppressed_by === null && each.track_id) ?? null;
    choose(index ?? first?.index ?? null);
  }

  async #track(strip, view, frame, asked) {
    try {
      const sights = await showStrip(strip, this.display, asked);
      if (view !== this.#view) return;
      frame.row.tails = [{ id: asked.trackId, points: sights.map(({ x, y }) => [x, y]) }];
      view.drawOverlay();
    } catch (error) {
      strip.replaceChildren(el("p", { class: "trouble" }, error.message));
    }
  }

  #neighbours(position) {
    const cut = position.lastIndexOf("/");
    const offset = Number(position.slice(cut + 1));
    const link = (to, words) => el("a", { href: `#/row/${position.slice(0, cut)}/${to}` }, words);
    return el("span", { class: "neighbours" }, offset > 0 ? link(offset - 1, "offset before") : null, " ", link(offset + 1, "offset after"));
  }
}
