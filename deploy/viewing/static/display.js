// How frames are shown: kept in this browser. One event, `change`.

const NAME = "irstream-display";
const DEFAULTS = {
  mode: "percentiles", low: 0.5, high: 99.8, window: 100, level: 50, inverted: false,
  boxes: true, masks: true, tails: true, labels: true, suppressed: true, live: false,
};

export class Display extends EventTarget {
  constructor() {
    super();
    Object.assign(this, DEFAULTS);
    try {
      for (const [key, value] of Object.entries(JSON.parse(localStorage.getItem(NAME)) ?? {})) if (typeof value === typeof DEFAULTS[key]) this[key] = value;
    } catch {
      // Nothing kept, or nothing that can be read.
    }
  }

  set(key, value) {
    this[key] = value;
    const kept = Object.fromEntries(Object.keys(DEFAULTS).map((each) => [each, this[each]]));
    try {
      localStorage.setItem(NAME, JSON.stringify(kept));
    } catch {
      // A private window keeps nothing.
    }
    this.dispatchEvent(new Event("change"));
  }
}
