// The lists beside the wall: alerts, rejections, health. Each is made anew at most once a second, and only where it can be seen.

import { byId, el } from "./dom.js";
import { age, clockOfDay, count, number, score, shortTrack } from "./format.js";

const EVERY_MS = 1000;
const WORDS = { appeared: "appeared", updated: "is there", left: "left" };

export function showLists(store) {
  const lists = { "panel-alerts": alerts, "panel-rejected": rejected, "panel-health": health };
  const update = () => {
    for (const [id, make] of Object.entries(lists)) {
      const panel = byId(id);
      // Who reads or selects text there is not disturbed.
      if (panel.hidden || panel.contains(document.activeElement?.closest?.("a")) || !getSelection().isCollapsed) continue;
      const top = panel.scrollTop;
      panel.replaceChildren(...make(store));
      panel.scrollTop = top;
    }
  };
  let waiting = null;
  const soon = () => {
    waiting ??= setTimeout(() => {
      waiting = null;
      update();
    }, EVERY_MS);
  };
  store.addEventListener("change", soon);
  document.querySelector(".tabs").addEventListener("choose", update);
  setTimeout(update, 200);
}

function alerts(store) {
  if (!store.events.length) return [el("p", { class: "quiet pad" }, "No target has appeared yet.")];
  return [
    el(
      "ol",
      { class: "list", "aria-label": "Alerts, the newest first" },
      store.events.map((event) =>
        el(
          "li",
          {},
          el(
            "a",
            { class: `entry ${event.event}`, href: `#/row/${event.position}` },
            el("time", { class: "quiet" }, clockOfDay(event.last_seen_at)),
            el("strong", {}, `${event.label}${event.label_score === null ? "" : ` ${score(event.label_score)}`} ${WORDS[event.event] ?? event.event}`),
            el("span", {}, `${event.sensor_id} ${shortTrack(event.track_id)}`),
            el("span", { class: "quiet" }, `target ${score(event.score)}, ${age(event.age_s)}, ${count(event.num_seen, "sight")}`),
          ),
        ),
      ),
    ),
  ];
}

function rejected(store) {
  const reasons = Object.entries(store.state?.reasons ?? {}).sort((one, other) => other[1] - one[1]);
  if (!reasons.length) return [el("p", { class: "quiet pad" }, "No message was rejected since this page watches.")];
  return [
    el("table", {}, el("caption", {}, "Since this page watches"), el("tbody", {}, reasons.map(([name, num]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "num" }, number(num)))))),
    el(
      "ol",
      { class: "list", "aria-label": "Rejected messages, the newest first" },
      store.rejections.map((letter) =>
        el(
          "li",
          {},
          el(
            "a",
            { class: "entry", href: `#/row/${letter.position}` },
            el("time", { class: "quiet" }, clockOfDay(letter.ingested_at)),
            el("strong", {}, letter.reason),
            el("span", {}, letter.sensor_id ?? "no sensor"),
            el("span", { class: "quiet" }, letter.detail),
          ),
        ),
      ),
    ),
  ];
}

function health(store) {
  const sensors = [...store.sensors.values()].map((sensor) => ({ sensor, ...store.silence(sensor) }));
  sensors.sort((one, other) => other.silent - one.silent || (one.silent ? other.seconds - one.seconds : 0) || one.sensor.id.localeCompare(other.sensor.id, "en", { numeric: true }));
  if (!sensors.length) return [el("p", { class: "quiet pad" }, "No sensor was heard yet.")];
  const suppressed = Object.entries(store.state?.suppressed ?? {});
  return [
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ["Sensor", "Last frame", "Rate", "Rejected"].map((name) => el("th", { scope: "col" }, name)))),
      el(
        "tbody",
        {},
        sensors.map(({ sensor, seconds, silent }) =>
          el(
            "tr",
            { class: silent ? "silent" : null },
            el("th", { scope: "row" }, el("a", { href: `#/sensor/${sensor.key}` }, sensor.id)),
            el("td", { title: clockOfDay(sensor.heard_at) }, silent ? `silent ${age(seconds)}` : age(seconds)),
            el("td", { class: "num" }, sensor.per_s ? `${sensor.per_s}/s` : "–"),
            el("td", { class: "num", title: sensor.last_reason }, sensor.rejected ? number(sensor.rejected) : ""),
          ),
        ),
      ),
    ),
    suppressed.length
      ? el("table", {}, el("caption", {}, "Detections that filters keep quiet"), el("tbody", {}, suppressed.map(([name, num]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", { class: "num" }, number(num))))))
      : null,
  ].filter(Boolean);
}
