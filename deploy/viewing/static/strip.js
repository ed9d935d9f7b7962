// A track as a strip of pictures, cut out around its target.

import { askFrames } from "./api.js";
import { el } from "./dom.js";
import { age, clockOfDay, count, score } from "./format.js";
import { PictureView } from "./picture.js";

/** Fills an element with the strip of a track; resolves to its sights. */
export async function showStrip(element, display, { sensorId, trackId, at }) {
  element.replaceChildren(el("p", { class: "quiet" }, "Looking for the track…"));
  const query = new URLSearchParams({ sensor: sensorId, id: trackId, at });
  const answer = await askFrames(`/api/track?${query}`);
  const { sights, frames } = answer;
  if (!sights.length) {
    element.replaceChildren(el("p", { class: "quiet" }, "The table has no sights of this track."));
    return sights;
  }
  const lasted = sights.at(-1).at - sights[0].at;
  const labels = [...new Set(sights.map((sight) => sight.label))].join(", ");
  element.replaceChildren(
    el("p", {}, `${count(sights.length, "sight")} in ${age(lasted)}: ${labels}. ${clockOfDay(sights[0].at)} to ${clockOfDay(sights.at(-1).at)} UTC.`),
    el("ol", { class: "strip" }, frames.map((frame) => el("li", {}, crop(frame, display)))),
  );
  for (const view of views.get(element) ?? []) view.draw();
  return sights;

  function crop(frame, shown) {
    const view = new PictureView({ ...values(shown), labels: false, tails: false, masks: false });
    const known = views.get(element) ?? [];
    views.set(element, [...known, view]);
    const detection = { ...frame, index: 0, outlines: [], track_id: null };
    view.show({ ...frame, row: frame.counts ? { width_px: frame.width_px, height_px: frame.height_px, detections: [detection], tails: [] } : null });
    return el(
      "a",
      { href: `#/row/${frame.position}`, "aria-label": `Sight at ${clockOfDay(frame.at)}` },
      view.element,
      el("span", {}, clockOfDay(frame.at)),
      el("span", { class: "quiet" }, `${frame.label} ${score(frame.label_score)}, target ${score(frame.score)}`),
    );
  }
}

const views = new WeakMap();
const values = (display) => Object.fromEntries(Object.entries(display));
