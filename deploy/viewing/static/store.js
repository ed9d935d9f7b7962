// The newest that the server has said. One event, `change`, after each word of it.

const KEPT = 200;
const SILENT_FRAMES = 5;
const SILENT_S = 3;

export class Store extends EventTarget {
  sensors = new Map();
  events = [];
  rejections = [];
  state = null;
  connected = false;
  #offset = 0;

  /** Takes a word of the server: all that is newer than the one before. */
  apply(word) {
    this.#offset = word.now - Date.now() / 1000;
    if (word.keys !== null) {
      const left = new Set(word.keys);
      for (const key of this.sensors.keys()) if (!left.has(key)) this.sensors.delete(key);
    }
    for (const sensor of word.sensors) this.sensors.set(sensor.key, sensor);
    this.events = [...word.events.reverse(), ...this.events].slice(0, KEPT);
    this.rejections = [...word.rejections.reverse(), ...this.rejections].slice(0, KEPT);
    this.state = word;
    this.dispatchEvent(new Event("change"));
  }

  /** Unix seconds by the server's clock. */
  now() {
    return Date.now() / 1000 + this.#offset;
  }

  /** Seconds since a sensor was heard, and whether that is longer than it usually takes. */
  silence(sensor) {
    const seconds = sensor.heard_at ? this.now() - sensor.heard_at : Infinity;
    const usual = sensor.per_s ? SILENT_FRAMES / sensor.per_s : SILENT_S;
    return { seconds, silent: seconds > Math.max(SILENT_S, usual) };
  }

  byName(sensorId) {
    for (const sensor of this.sensors.values()) if (sensor.id === sensorId) return sensor;
    return null;
  }

  /** Begins again from nothing: another page of the server may be behind the next word. */
  clear() {
    this.sensors.clear();
    this.events = [];
    this.rejections = [];
  }

  setConnected(connected) {
    this.connected = connected;
    this.dispatchEvent(new Event("change"));
  }
}

/** Listens to the server while the page can be seen. */
export function listen(store) {
  let source = null;
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource("/api/changes");
    let first = true;
    source.onopen = () => {
      first = true;
      store.setConnected(true);
    };
    source.onmessage = (message) => {
      if (first) store.clear();
      first = false;
      store.apply(JSON.parse(message.data));
    };
    source.onerror = () => store.setConnected(false);
  };
  const close = () => {
    source?.close();
    source = null;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
}
