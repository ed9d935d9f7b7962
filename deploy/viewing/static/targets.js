// The detections of a row as a table.

import { el } from "./dom.js";
import { age, score, shortTrack } from "./format.js";

const speed = (each) =>
  [each.speed_m_s === null ? null : `${each.speed_m_s.toFixed(1)} m/s`, each.speed_px_s === null ? null : `${each.speed_px_s.toFixed(1)} px/s`].filter(Boolean).join(", ");

/** A table with a button a detection; `choose(index)` is called with the one that is pressed. */
export function targetTable(row, choose, chosen = null) {
  if (!row) return el("p", { class: "quiet" }, "This frame has no row yet.");
  if (!row.detections.length) return el("p", { class: "quiet" }, "Nothing was found in this frame.");
  const columns = ["Label", "Class score", "Target score", "Track", "Age", "Speed", "Filter"];
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "targets" },
      el("thead", {}, el("tr", {}, columns.map((name) => el("th", { scope: "col" }, name)))),
      el(
        "tbody",
        {},
        row.detections.map((each) =>
          el(
            "tr",
            { class: each.index === chosen ? "chosen" : null },
            el("th", { scope: "row" }, el("button", { type: "button", class: "link", "aria-pressed": String(each.index === chosen), onclick: () => choose(each.index) }, each.label)),
            el("td", { class: "num" }, score(each.label_score)),
            el("td", { class: "num" }, score(each.score)),
            el("td", {}, shortTrack(each.track_id)),
            el("td", { class: "num" }, each.track_age_s === null ? "" : age(each.track_age_s)),
            el("td", { class: "num" }, speed(each)),
            el("td", {}, each.suppressed_by ?? ""),
          ),
        ),
      ),
    ),
  );
}
