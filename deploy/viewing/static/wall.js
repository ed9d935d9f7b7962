// The wall: a tile a sensor. Frames are fetched for tiles that can be seen.

import { byId } from "./dom.js";
import { Tile } from "./tile.js";

export class Wall {
  #tiles = new Map();
  #order = "";

  constructor(store, display, loader) {
    this.store = store;
    this.display = display;
    this.loader = loader;
    this.element = byId("wall");
    this.find = byId("find");
    this.orderBy = byId("order");
    this.observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) this.#of(target)?.setVisible(isIntersecting);
      },
      { rootMargin: "100px" },
    );
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    this.find.addEventListener("input", () => this.update());
    this.orderBy.addEventListener("change", () => this.update());
    byId("size").addEventListener("input", (event) => {
      this.element.style.setProperty("--tile", `${event.target.value}px`);
      this.draw();
    });
    store.addEventListener("change", () => this.update());
    display.addEventListener("change", () => this.draw());
    window.addEventListener("resize", () => this.draw());
  }

  draw() {
    for (const tile of this.#tiles.values()) if (tile.visible) tile.picture.draw();
  }

  update() {
    for (const [key, tile] of this.#tiles) {
      if (this.store.sensors.has(key)) continue;
      tile.setVisible(false);
      this.observer.unobserve(tile.element);
      tile.element.remove();
      this.#tiles.delete(key);
    }
    const shown = this.#chosen();
    for (const sensor of shown) this.#tileOf(sensor).update(sensor, this.store);
    this.#place(shown.map((sensor) => this.#tiles.get(sensor.key)));
    byId("empty").hidden = shown.length > 0;
  }

  #chosen() {
    const wanted = this.find.value.trim().toLowerCase();
    const sensors = [...this.store.sensors.values()].filter(
      (sensor) => !wanted || sensor.id.toLowerCase().includes(wanted) || sensor.labels.some((label) => label.toLowerCase().includes(wanted)),
    );
    const byName = (one, other) => one.id.localeCompare(other.id, "en", { numeric: true });
    const first = {
      name: () => 0,
      targets: (one, other) => (other.targets > 0) - (one.targets > 0),
      silent: (one, other) => this.store.silence(other).silent - this.store.silence(one).silent,
    }[this.orderBy.value];
    return sensors.sort((one, other) => first(one, other) || byName(one, other));
  }

  #tileOf(sensor) {
    let tile = this.#tiles.get(sensor.key);
    if (!tile) {
      tile = new Tile(sensor.key, this.display, this.loader);
      this.#tiles.set(sensor.key, tile);
    }
    return tile;
  }

  #of(element) {
    for (const tile of this.#tiles.values()) if (tile.element === element) return tile;
    return null;
  }

  /** Moves elements only where the order has changed: the focus and the scroll stay. */
  #place(tiles) {
    const order = tiles.map((tile) => tile.key).join();
    if (order === this.#order) return;
    this.#order = order;
    this.element.replaceChildren(...tiles.map((tile) => tile.element));
    for (const tile of tiles) this.observer.observe(tile.element);
  }
}
