// Fetches the newest frames of the sensors that can be seen: one question at a time, so a slow browser gets fewer frames, never older ones.

import { askFrames } from "./api.js";

const GAP_MS = 120;
const AFTER_FAULT_MS = 1500;

export class Loader {
  #views = new Map();
  #busy = false;

  constructor(store, display) {
    this.store = store;
    this.display = display;
    store.addEventListener("change", () => this.#go());
    let live = display.live;
    display.addEventListener("change", () => {
      if (live === display.live) return;
      live = display.live;
      for (const view of this.#views.values()) view.version = 0;
      this.#go();
    });
  }

  /** Shows the frames of a sensor from now on; `side` is the longer side that is wanted, in pixels of the screen. */
  watch(name, key, side, show) {
    this.#views.set(name, { key, side, show, version: 0, asked: 0 });
    this.#go();
  }

  unwatch(name) {
    this.#views.delete(name);
  }

  async #go() {
    if (this.#busy) return;
    const wanted = [...this.#views.values()].filter((view) => this.#newest(view) > view.version).sort((one, other) => one.asked - other.asked);
    if (!wanted.length) return;
    this.#busy = true;
    let pause = GAP_MS;
    try {
      const want = wanted.slice(0, 100);
      for (const view of want) view.asked = performance.now();
      const side = Math.max(...want.map((view) => view.side));
      const answer = await askFrames("/api/frames", { side, live: this.display.live, want: want.map((view) => [view.key, view.version]) });
      for (const frame of answer.frames) {
        for (const view of want) {
          if (view.key !== frame.key) continue;
          view.version = frame.version;
          view.show(frame);
        }
      }
      // What the answer left out has nothing newer after all.
      const answered = new Set(answer.frames.map((frame) => frame.key));
      if (!answer.frames.length) for (const view of want) if (!answered.has(view.key)) view.version = Math.max(view.version, this.#newest(view));
    } catch {
      pause = AFTER_FAULT_MS;
    } finally {
      setTimeout(() => {
        this.#busy = false;
        this.#go();
      }, pause);
    }
  }

  #newest(view) {
    const sensor = this.store.sensors.get(view.key);
    if (!sensor) return 0;
    return this.display.live ? sensor.live_version : sensor.row_version;
  }
}
