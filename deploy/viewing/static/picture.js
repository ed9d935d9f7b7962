// A frame on the screen: two canvases, one with the counts as grey, one over it with what was found.

import { el } from "./dom.js";
import { drawOverlay } from "./overlay.js";
import { paint } from "./stretch.js";

export class PictureView {
  frame = null;
  chosen = null;
  #image = null;

  constructor(display) {
    this.display = display;
    this.grey = el("canvas", { class: "grey", "aria-hidden": "true" });
    this.overlay = el("canvas", { class: "overlay", "aria-hidden": "true" });
    this.note = el("p", { class: "note", hidden: true });
    this.element = el("div", { class: "picture" }, this.grey, this.overlay, this.note);
  }

  show(frame) {
    this.frame = frame;
    this.note.hidden = !frame.error;
    this.note.textContent = frame.error ?? "";
    if (frame.counts) {
      if (this.grey.width !== frame.width || this.grey.height !== frame.height) {
        this.grey.width = frame.width;
        this.grey.height = frame.height;
        this.#image = null;
      }
      this.element.style.aspectRatio = `${frame.width_px} / ${frame.height_px}`;
    }
    this.draw();
  }

  draw() {
    if (this.frame?.counts) {
      const context = this.grey.getContext("2d");
      this.#image ??= context.createImageData(this.frame.width, this.frame.height);
      paint(this.frame, this.display, this.#image);
      context.putImageData(this.#image, 0, 0);
    }
    this.drawOverlay();
  }

  drawOverlay() {
    drawOverlay(this.overlay, this.frame, this.display, this.chosen);
  }
}
