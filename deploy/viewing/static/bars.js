// Bars of counts over time; a bar can be pressed to look closer.

import { clock } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 960;
const HEIGHT = 90;
const CLOSER = 6;

function shape(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/**
 * @param found with `since`, `until` and `buckets` of frames, targets, rejected
 * @param words for who cannot see the bars
 * @param zoom called with the two ends of a shorter stretch
 */
export function bars({ since, until, buckets }, words, zoom) {
  const num = buckets.frames.length;
  const highest = Math.max(1, ...buckets.frames.map((frames, index) => frames + buckets.rejected[index]));
  const width = WIDTH / num;
  const bar = (index, from, count, kind) =>
    count ? [shape("rect", { x: index * width, y: HEIGHT - ((from + count) / highest) * HEIGHT, width: Math.max(width - 1, 1), height: Math.max((count / highest) * HEIGHT, 1.5), class: kind })] : [];
  const seconds = (until - since) / num;
  const columns = buckets.frames.map((frames, index) => {
    const group = shape(
      "g",
      {},
      shape("title", {}, `${clock(since + index * seconds)}: ${frames} frames, ${buckets.targets[index]} with targets, ${buckets.rejected[index]} rejected`),
      shape("rect", { x: index * width, y: 0, width, height: HEIGHT, class: "ground" }),
      ...bar(index, 0, frames, "frames"),
      ...bar(index, 0, buckets.targets[index], "targets"),
      ...bar(index, frames, buckets.rejected[index], "rejected"),
    );
    group.addEventListener("click", () => zoom(since + (index - CLOSER) * seconds, since + (index + 1 + CLOSER) * seconds));
    return group;
  });
  const chart = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "bars", role: "img", "aria-label": words }, ...columns);
  return chart;
}
