// One sensor, live and large: its targets, its zones, its last hours.

import { byId, el, setText } from "./dom.js";
import { age, count } from "./format.js";
import { History } from "./history.js";
import { PictureView } from "./picture.js";
import { detectionAt } from "./pointing.js";
import { targetTable } from "./targets.js";
import { ZoneTool } from "./zone_tool.js";

const TABLE_MS = 1000;

export class SensorView {
  #open = null;

  constructor(store, display, loader) {
    this.store = store;
    this.display = display;
    this.loader = loader;
    this.element = byId("sensor-view");
    const draw = () => this.#open?.view.draw();
    display.addEventListener("change", draw);
    addEventListener("resize", draw);
    store.addEventListener("change", () => this.#update());
  }

  close() {
    this.loader.unwatch(this);
    this.#open = null;
    this.element.replaceChildren();
  }

  open(rest) {
    this.loader.unwatch(this);
    const key = Number(rest);
    const view = new PictureView(this.display);
    const name = el("h1", {}, "…");
    const state = el("span", { class: "quiet", role: "status" });
    const targets = el("div", {});
    const tool = new ZoneTool(view, () => this.store.sensors.get(key)?.id);
    const past = el("div", {});
    this.#open = { key, view, name, state, targets, tool, past, tabledAt: 0, sensorId: null };
    this.element.replaceChildren(
      el("div", { class: "head" }, el("a", { href: "#/", "aria-label": "Back to the wall" }, "‹ wall"), name, state),
      el("div", { class: "two" }, el("div", {}, view.element, tool.panel), targets),
      past,
    );
    view.element.addEventListener("click", (event) => {
      const row = view.frame?.row;
      if (!row || tool.drawing) return;
      const index = detectionAt(view.overlay, row, event);
      if (index !== null) location.hash = `#/row/${row.position}?detection=${index}`;
    });
    const side = Math.ceil(view.element.clientWidth * (window.devicePixelRatio || 1));
    this.loader.watch(this, key, Math.max(side, 640), (frame) => this.#show(frame));
    this.#update();
  }

  #show(frame) {
    const open = this.#open;
    if (!open) return;
    open.view.show(frame);
    open.tool.draw();
    // Once a second: a table that changes five times a second can neither be read nor pressed.
    if (performance.now() - open.tabledAt < TABLE_MS || open.targets.contains(document.activeElement)) return;
    open.tabledAt = performance.now();
    const go = (index) => {
      location.hash = `#/row/${frame.row.position}?detection=${index}`;
    };
    open.targets.replaceChildren(el("h2", {}, "Targets now"), targetTable(frame.row, go));
  }

  #update() {
    const open = this.#open;
    if (!open) return;
    const sensor = this.store.sensors.get(open.key);
    if (!sensor) {
      setText(open.state, this.store.state ? "This sensor is not known (any more)." : "Waiting for the server…");
      return;
    }
    if (open.sensorId === null) {
      open.sensorId = sensor.id;
      open.past.replaceChildren(new History(sensor.id).element);
      open.tool.loadZones();
    }
    const { seconds, silent } = this.store.silence(sensor);
    setText(open.name, sensor.id);
    const words = [
      silent ? `silent ${age(seconds)}` : sensor.per_s ? `${sensor.per_s} frames/s` : "",
      sensor.suppressed ? `${count(sensor.suppressed, "detection")} filtered` : "",
      sensor.rejected ? `${sensor.rejected} rejected (${sensor.last_reason})` : "",
      ...sensor.faults,
    ];
    setText(open.state, words.filter(Boolean).join(" · "));
  }
}
