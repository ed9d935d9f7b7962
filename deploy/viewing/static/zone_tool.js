// Zones of a sensor over its picture: those it has, and one that is drawn by mouse, finger or numbers, looked at, and written when confirmed.

import { askJson } from "./api.js";
import { el } from "./dom.js";
import { count, number } from "./format.js";
import { fit, placeOf } from "./overlay.js";
import { pointIn } from "./pointing.js";

const DRAG_PX = 4;
const CLOSE_PX = 10;
const ROWS = 500;

export class ZoneTool {
  drawing = false;
  #zones = [];
  #corners = [];
  #rectangle = true;
  #press = null;
  #mayWrite = false;

  constructor(view, sensorId) {
    this.view = view;
    this.sensorId = sensorId;
    this.canvas = el("canvas", { class: "zones", "aria-hidden": "true" });
    view.element.append(this.canvas);
    this.button = el("button", { type: "button", "aria-expanded": "false", onclick: () => this.#begin(!this.drawing) }, "Draw a zone");
    this.name = el("input", { value: "zone-1", maxlength: 64, required: true, "aria-label": "Name of the zone" });
    this.effect = el("select", { "aria-label": "Effect" }, el("option", { value: "ignore" }, "no alerts from here"), el("option", { value: "only_here" }, "alerts only from here"));
    this.numbers = ["left", "top", "right", "bottom"].map((side) => el("input", { type: "number", min: 0, step: 1, "aria-label": `${side} edge, pixels`, placeholder: side, onchange: () => this.#typed() }));
    this.answer = el("div", { "aria-live": "polite" });
    this.form = el(
      "form",
      { class: "zone-form", hidden: true, onsubmit: (event) => this.#preview(event) },
      el("p", { class: "quiet" }, "Drag a rectangle over the picture, or press corner after corner and the first one again; or type its edges in pixels."),
      el("div", { class: "row" }, this.name, this.effect),
      el("div", { class: "row" }, this.numbers),
      el("div", { class: "row" }, el("button", { class: "main" }, "Show its effect"), el("button", { type: "button", onclick: () => this.#clear() }, "Clear")),
      this.answer,
    );
    this.panel = el("div", { class: "zone-panel" }, this.button, this.form);
    this.canvas.addEventListener("pointerdown", (event) => this.#down(event));
    this.canvas.addEventListener("pointermove", (event) => this.#move(event));
    this.canvas.addEventListener("pointerup", (event) => this.#up(event));
    for (const field of [this.name, this.effect]) field.addEventListener("change", () => this.answer.replaceChildren());
  }

  async loadZones() {
    try {
      const found = await askJson(`/api/zones?${new URLSearchParams({ sensor: this.sensorId() })}`);
      this.#zones = found.zones;
      this.#mayWrite = found.may_write;
      const taken = new Set(found.zones.map((zone) => zone.name));
      let next = 1;
      while (taken.has(`zone-${next}`)) next += 1;
      this.name.value = `zone-${next}`;
    } catch (error) {
      this.answer.replaceChildren(el("p", { class: "trouble" }, error.message));
    }
    this.draw();
  }

  draw() {
    const size = this.#size();
    const context = fit(this.canvas);
    if (!size) return;
    const place = placeOf(this.canvas, size);
    for (const zone of this.#zones) this.#drawZone(context, place, size, zone);
    if (!this.#corners.length) return;
    this.#way(context, this.#corners.map(place), this.#closed());
    context.fillStyle = "rgba(77, 208, 255, 0.22)";
    if (this.#closed()) context.fill();
    context.strokeStyle = "#4dd0ff";
    context.lineWidth = 2;
    context.stroke();
  }

  #drawZone(context, place, size, zone) {
    const scale = zone.is_fraction ? [size.width_px, size.height_px] : [1, 1];
    const corners = zone.corners.map(([x, y]) => place([x * scale[0], y * scale[1]]));
    this.#way(context, corners, true);
    context.setLineDash(zone.effect === "ignore" ? [6, 4] : []);
    context.strokeStyle = zone.effect === "ignore" ? "#ff7b72" : "#7ee787";
    context.lineWidth = 1.25;
    context.stroke();
    context.setLineDash([]);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = context.strokeStyle;
    const [x, y] = corners[0];
    context.fillText(zone.name, x + 3, y + 12);
  }

  #way(context, corners, closed) {
    context.beginPath();
    for (const corner of corners) context.lineTo(...corner);
    if (closed) context.closePath();
  }

  #size() {
    const { frame } = this.view;
    return frame?.counts ? frame : null;
  }

  #closed() {
    return this.#rectangle ? this.#corners.length === 4 : this.done === true;
  }

  #begin(on) {
    this.drawing = on;
    this.form.hidden = !on;
    this.button.setAttribute("aria-expanded", String(on));
    this.button.textContent = on ? "Stop drawing" : "Draw a zone";
    this.canvas.classList.toggle("drawing", on);
    if (!on) this.#clear();
  }

  #clear() {
    this.#set([], true, false);
  }

  #set(corners, rectangle, done) {
    this.#corners = corners;
    this.#rectangle = rectangle;
    this.done = done;
    this.answer.replaceChildren();
    const edges = rectangle && corners.length === 4 ? [corners[0][0], corners[0][1], corners[2][0], corners[2][1]] : [];
    this.numbers.forEach((field, index) => {
      field.value = edges.length ? String(Math.round(edges[index])) : "";
    });
    this.draw();
  }

  #down(event) {
    if (!this.drawing || !this.#size()) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#press = { at: [event.clientX, event.clientY], point: pointIn(this.canvas, this.#size(), event), dragged: false };
  }

  #move(event) {
    const press = this.#press;
    if (!press) return;
    press.dragged ||= Math.hypot(event.clientX - press.at[0], event.clientY - press.at[1]) > DRAG_PX;
    if (press.dragged) this.#set(rectangle(press.point, pointIn(this.canvas, this.#size(), event)), true, true);
  }

  #up(event) {
    const press = this.#press;
    this.#press = null;
    if (!press || press.dragged) return;
    const corners = this.#rectangle || this.done ? [] : this.#corners;
    const place = placeOf(this.canvas, this.#size());
    const edges = this.canvas.getBoundingClientRect();
    const first = corners.length ? place(corners[0]) : null;
    const closes = corners.length > 2 && Math.hypot(event.clientX - edges.left - first[0], event.clientY - edges.top - first[1]) < CLOSE_PX;
    this.#set(closes ? corners : [...corners, press.point], false, closes);
  }

  #typed() {
    const [left, top, right, bottom] = this.numbers.map((field) => field.valueAsNumber);
    if ([left, top, right, bottom].some(Number.isNaN)) return;
    this.#set(rectangle([left, top], [right, bottom]), true, true);
  }

  /** The zone in the words of the settings. */
  #zone() {
    const rounded = this.#corners.map((corner) => corner.map((value) => Math.round(value)));
    const effect = this.effect.value === "ignore" ? {} : { effect: "only_here" };
    if (this.#rectangle && rounded.length === 4) return { ...effect, rectangle_px: [...rounded[0], ...rounded[2]] };
    return { ...effect, polygon_px: rounded };
  }

  async #preview(event) {
    event.preventDefault();
    const body = { sensor_id: this.sensorId(), name: this.name.value, zone: this.#zone(), rows: ROWS };
    this.answer.replaceChildren(el("p", { class: "quiet" }, "Looking at the last rows…"));
    try {
      const found = await askJson("/api/zones/preview", body);
      this.answer.replaceChildren(...this.#effect(found, body));
    } catch (error) {
      this.answer.replaceChildren(el("p", { class: "trouble" }, error.message));
    }
  }

  #effect(found, body) {
    const removed = found.num_shown[0] - found.num_shown[1];
    const labels = Object.entries(found.labels).map(([label, num]) => `${label} ${number(num)}`).join(", ");
    return [
      el(
        "table",
        { class: "effect" },
        el("caption", {}, `In the last ${count(found.num_rows, "row")} of this sensor`),
        el("thead", {}, el("tr", {}, ["", "now", "with the zone"].map((name) => el("th", { scope: "col", class: "num" }, name)))),
        el(
          "tbody",
          {},
          [["detections that make alerts", found.num_shown], ["frames with one", found.num_alerting]].map(([name, [now, then]]) =>
            el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "num" }, number(now)), el("td", { class: "num" }, number(then))),
          ),
        ),
      ),
      el("p", {}, removed ? `It would keep ${number(removed)} quiet: ${labels}.` : "It would keep nothing quiet."),
      found.examples.length ? el("p", { class: "quiet" }, "Look at some: ", found.examples.map((position) => [el("a", { href: `#/row/${position}` }, position.slice(position.lastIndexOf("/") + 1)), " "]).flat()) : null,
      el("pre", {}, found.lines),
      this.#mayWrite
        ? el("button", { type: "button", class: "main", onclick: () => this.#confirm(found, body) }, `Write into ${found.file}…`)
        : el("p", { class: "quiet" }, "This page may not write settings (view.may_write). Copy the lines."),
    ].filter(Boolean);
  }

  #confirm(found, body) {
    const dialog = el(
      "dialog",
      { "aria-label": "Write the zone?", onclose: () => dialog.remove() },
      el("h2", {}, "Write the zone?"),
      el("p", {}, `These lines go into ${found.file}. All else in it stays. Rows that exist stay as they are.`),
      el("pre", {}, found.lines),
      el(
        "div",
        { class: "row" },
        el("button", { type: "button", class: "main", onclick: () => this.#write(found, body, dialog) }, "Write"),
        el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  }

  async #write(found, { sensor_id, name, zone }, dialog) {
    let said;
    try {
      const done = await askJson("/api/zones/write", { sensor_id, name, zone, digest: found.digest, confirm: true });
      said = el("p", { role: "status" }, `Written to ${done.file}. A running stream takes it after SIGHUP: kill -HUP and the process id of irstream stream.`);
      await this.loadZones();
      this.#set([], true, false);
    } catch (error) {
      said = el("p", { class: "trouble" }, error.message);
    }
    dialog.close();
    this.answer.replaceChildren(said);
  }
}

function rectangle([x0, y0], [x1, y1]) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}
