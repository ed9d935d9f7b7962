// One sensor on the wall.

import { el, setText } from "./dom.js";
import { age, count } from "./format.js";
import { PictureView } from "./picture.js";

const BEHIND_S = 10;

/** How far rows lie behind frames, where that is more than a stream needs. */
function behind(sensor) {
  if (sensor.position === null) return "no row yet";
  const seconds = sensor.heard_at - sensor.row_at;
  return seconds > BEHIND_S ? `rows ${age(seconds)} behind` : "";
}

export class Tile {
  visible = false;

  constructor(key, display, loader) {
    this.key = key;
    this.loader = loader;
    this.picture = new PictureView(display);
    this.name = el("span", { class: "name" });
    this.rate = el("span", { class: "quiet" });
    this.state = el("span", { class: "state" });
    this.words = el("span", { class: "words" });
    this.element = el(
      "a",
      { class: "tile", href: `#/sensor/${key}` },
      el("span", { class: "tile-head" }, this.name, this.rate, this.state),
      this.picture.element,
      el("span", { class: "tile-foot" }, this.words),
    );
  }

  setVisible(visible) {
    if (visible === this.visible) return;
    this.visible = visible;
    if (!visible) {
      this.loader.unwatch(this);
      return;
    }
    const side = Math.ceil(this.element.clientWidth * (window.devicePixelRatio || 1));
    this.loader.watch(this, this.key, side, (frame) => this.picture.show(frame));
  }

  update(sensor, store) {
    const { seconds, silent } = store.silence(sensor);
    const rate = sensor.per_s ? `${sensor.per_s.toFixed(sensor.per_s < 10 ? 1 : 0)}/s` : "";
    const found = sensor.targets ? `${count(sensor.targets, "target")}${sensor.labels.length ? `: ${sensor.labels.join(", ")}` : ""}` : "no target";
    const state = silent ? `silent ${age(seconds)}` : behind(sensor);
    const left = sensor.suppressed ? `, ${sensor.suppressed} filtered` : "";
    const faults = [...sensor.faults, ...(sensor.rejected ? [`${sensor.rejected} rejected`] : [])];
    setText(this.name, sensor.id);
    setText(this.rate, rate);
    setText(this.state, state);
    setText(this.words, [found + left, ...faults].join(" · "));
    this.element.classList.toggle("silent", silent);
    this.element.classList.toggle("hit", sensor.targets > 0 && !silent);
    this.element.setAttribute("aria-label", [sensor.id, found + left, ...faults, rate && `${sensor.per_s} frames a second`, state].filter(Boolean).join(", "));
  }
}
