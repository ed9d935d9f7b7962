// From a point of the page to what lies there in the frame.

import { boxOnPage, placeOf } from "./overlay.js";

const NEAR_PX = 8;

/** Pixels of the sensor's frame under the pointer, held within the frame. */
export function pointIn(canvas, size, event) {
  const edges = canvas.getBoundingClientRect();
  const held = (value, most) => Math.min(Math.max(0, value), most);
  return [
    held(((event.clientX - edges.left) / edges.width) * size.width_px, size.width_px),
    held(((event.clientY - edges.top) / edges.height) * size.height_px, size.height_px),
  ];
}

/** Index of the detection under the pointer, the smallest box first; null where there is none. */
export function detectionAt(canvas, row, event) {
  const edges = canvas.getBoundingClientRect();
  const x = event.clientX - edges.left;
  const y = event.clientY - edges.top;
  const place = placeOf(canvas, row);
  const hit = row.detections
    .map((each) => ({ index: each.index, ...boxOnPage(each, place) }))
    .filter((box) => x > box.left - NEAR_PX && x < box.right + NEAR_PX && y > box.top - NEAR_PX && y < box.bottom + NEAR_PX)
    .sort((one, other) => (one.right - one.left) * (one.bottom - one.top) - (other.right - other.left) * (other.bottom - other.top));
  return hit.length ? hit[0].index : null;
}
