// The line at the top: lag, rates, latency; and what does not work.

import { byId, el, setText } from "./dom.js";
import { number } from "./format.js";

const FEEDS = { frames: "Frames", rows: "Rows", events: "Alerts" };

export function showStatus(store) {
  const fields = Object.fromEntries(
    [
      ["lag", "Lag", "messages that have no row yet"],
      ["arriving", "Arriving", "frames a second"],
      ["done", "Done", "rows a second"],
      ["latency", "Latency", "from Kafka to the table, median and 95th percentile"],
      ["sensors", "Sensors", "of them silent"],
    ].map(([name, title, meaning]) => {
      const value = el("dd", {}, "–");
      byId("status").append(el("div", { title: meaning }, el("dt", {}, title), value));
      return [name, value];
    }),
  );
  const update = () => {
    const { state } = store;
    byId("trouble").hidden = !trouble(store);
    setText(byId("trouble"), trouble(store) ?? "");
    if (!state) return;
    const sensors = [...store.sensors.values()];
    const silent = sensors.filter((sensor) => store.silence(sensor).silent).length;
    setText(byId("run"), `run ${state.run_id}`);
    setText(fields.lag, number(state.lag));
    setText(fields.arriving, `${state.arriving_per_s}/s`);
    setText(fields.done, `${state.done_per_s}/s`);
    setText(fields.latency, state.latency_s ? `${state.latency_s.median} s, ${state.latency_s.p95} s` : "–");
    setText(fields.sensors, silent ? `${sensors.length}, ${silent} silent` : `${sensors.length}`);
  };
  store.addEventListener("change", update);
  setInterval(update, 1000);
}

function trouble(store) {
  if (!store.connected) return "The page has no connection to irstream view. It tries again.";
  const failing = Object.entries(store.state?.feeds ?? {}).filter(([, why]) => why !== null);
  if (failing.length) return failing.map(([name, why]) => `${FEEDS[name] ?? name}: ${why}`).join("\n");
  if (store.state?.skipped) return `${number(store.state.skipped)} frames were not looked at: this page is behind the topic.`;
  return null;
}
