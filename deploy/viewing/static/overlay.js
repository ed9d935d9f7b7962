// Boxes, outlines of masks, tails and labels over a frame, where the row says they are.

import { shortTrack, words } from "./format.js";

export const COLOURS = { shown: "#ffb000", suppressed: "#9aa0a6", chosen: "#4dd0ff", dark: "rgba(0, 0, 0, 0.72)", light: "#fff" };
const LABEL_PX = 11;
const LINE_PX = 14;

/**
 * Draws on a canvas that lies over the picture.
 * @param canvas sized here to its place on the screen
 * @param frame with `row` and `width_px`, `height_px` of the sensor's frame
 * @param display which of `boxes`, `masks`, `tails`, `labels`, `suppressed` are wanted
 * @param chosen index of the detection that is marked
 */
export function drawOverlay(canvas, frame, display, chosen = null) {
  const context = fit(canvas);
  if (!frame?.row) return;
  const place = placeOf(canvas, frame.row);
  const shown = frame.row.detections.filter((each) => each.suppressed_by === null || display.suppressed);
  if (display.tails) for (const tail of frame.row.tails) drawTail(context, tail.points, place);
  for (const each of shown) {
    const colour = colourOf(each, chosen);
    if (display.masks) drawOutlines(context, each.outlines, place, colour);
    if (display.boxes) drawBox(context, each, place, colour);
  }
  if (display.labels) drawLabels(context, shown, place, canvas, chosen);
}

/** Width and height of the canvas in the pixels of the screen, and its context in those of the page. */
export function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return context;
}

/** From pixels of the sensor's frame to those of the page. */
export function placeOf(canvas, { width_px, height_px }) {
  const across = canvas.clientWidth / width_px;
  const down = canvas.clientHeight / height_px;
  return ([x, y]) => [x * across, y * down];
}

const colourOf = (detection, chosen) =>
  detection.index === chosen ? COLOURS.chosen : detection.suppressed_by === null ? COLOURS.shown : COLOURS.suppressed;

/** The box on the page, at least so large that its inside can be seen, with the same middle. */
export function boxOnPage({ box }, place, least = 10) {
  let [left, top] = place([box[0], box[1]]);
  let [right, bottom] = place([box[2], box[3]]);
  const wider = Math.max(0, least - (right - left)) / 2;
  const higher = Math.max(0, least - (bottom - top)) / 2;
  [left, right, top, bottom] = [left - wider, right + wider, top - higher, bottom + higher];
  return { left, top, right, bottom };
}

function drawBox(context, detection, place, colour) {
  const { left, top, right, bottom } = boxOnPage(detection, place);
  context.setLineDash(detection.suppressed_by === null ? [] : [4, 3]);
  context.strokeStyle = colour;
  context.lineWidth = detection.suppressed_by === null ? 1.75 : 1;
  context.strokeRect(left - 1, top - 1, right - left + 2, bottom - top + 2);
  context.setLineDash([]);
}

function drawOutlines(context, outlines, place, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  for (const outline of outlines) {
    context.beginPath();
    for (const point of outline) context.lineTo(...place(point));
    context.closePath();
    context.stroke();
  }
}

function drawTail(context, points, place) {
  context.strokeStyle = COLOURS.chosen;
  context.lineWidth = 1.5;
  for (let index = 1; index < points.length; index += 1) {
    context.globalAlpha = 0.15 + (0.75 * index) / points.length;
    context.beginPath();
    context.moveTo(...place(points[index - 1]));
    context.lineTo(...place(points[index]));
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** Each label above its box, or below, or beside: the first place where it lies on no other; where there is none it is left out. */
function drawLabels(context, detections, place, canvas, chosen) {
  context.font = `${LABEL_PX}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  const first = [...detections].sort((one, other) => (other.index === chosen) - (one.index === chosen) || other.score - one.score);
  for (const each of first) {
    const text = each.suppressed_by === null ? [words(each), shortTrack(each.track_id)].filter(Boolean).join(" ") : each.suppressed_by;
    const width = Math.min(context.measureText(text).width + 6, canvas.clientWidth);
    const box = boxOnPage(each, place);
    const free = spots(box, width, canvas).filter((one) => !taken.some((other) => overlap(one, other)));
    const spot = free.find((one) => !covers(one, box)) ?? free[0];
    if (!spot) continue;
    taken.push(spot);
    context.fillStyle = COLOURS.dark;
    context.fillRect(spot.left, spot.top, width, LINE_PX);
    context.fillStyle = each.suppressed_by === null ? COLOURS.light : COLOURS.suppressed;
    context.fillText(text, spot.left + 3, spot.top + LINE_PX / 2 + 0.5, width - 6);
  }
}

function spots(box, width, canvas) {
  const within = (left, top) => ({
    left: Math.min(Math.max(0, left), Math.max(0, canvas.clientWidth - width)),
    top: Math.min(Math.max(0, top), Math.max(0, canvas.clientHeight - LINE_PX)),
    width,
  });
  const middle = (box.top + box.bottom - LINE_PX) / 2;
  return [
    within(box.left - 2, box.top - LINE_PX - 3),
    within(box.left - 2, box.bottom + 3),
    within(box.right + 4, middle),
    within(box.left - width - 4, middle),
    within(box.left - 2, box.top - 2 * LINE_PX - 4),
    within(box.left - 2, box.bottom + LINE_PX + 4),
  ];
}

const covers = (spot, box) =>
  spot.left < box.right && box.left < spot.left + spot.width && spot.top < box.bottom && box.top < spot.top + LINE_PX;

const overlap = (one, other) =>
  one.left < other.left + other.width && other.left < one.left + one.width && Math.abs(one.top - other.top) < LINE_PX;
