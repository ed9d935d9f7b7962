// From counts of 8 to 16 bits or floats to grey, in the browser: percentiles of the frame, or window and level.

const LEVELS = 65536;
const histogram = new Uint32Array(LEVELS);
const MOST_SAMPLES = 40000;

/** Darkest and brightest count that are told apart. */
export function limits(frame, display) {
  return display.mode === "percentiles" ? percentiles(frame.counts, display.low, display.high) : windowOf(frame, display);
}

function windowOf(frame, { window: width, level }) {
  const [from, to] = rangeOf(frame);
  const middle = from + (level / 100) * (to - from);
  const half = Math.max((width / 200) * (to - from), 1e-9);
  return [middle - half, middle + half];
}

function rangeOf(frame) {
  if (frame.counts instanceof Float32Array) return extremes(frame.counts);
  return [0, 2 ** Math.min(frame.bit_depth, 8 * frame.counts.BYTES_PER_ELEMENT) - 1];
}

function extremes(counts) {
  let low = Infinity;
  let high = -Infinity;
  for (const count of counts) {
    if (count < low) low = count;
    if (count > high) high = count;
  }
  return low <= high ? [low, high] : [0, 1];
}

export function percentiles(counts, low, high) {
  const step = Math.max(1, Math.floor(counts.length / MOST_SAMPLES));
  if (counts instanceof Float32Array) return ofSorted(counts, step, low, high);
  histogram.fill(0);
  let total = 0;
  for (let index = 0; index < counts.length; index += step) {
    histogram[counts[index]] += 1;
    total += 1;
  }
  const dark = rank(total, low);
  const bright = rank(total, high);
  return spread(dark, bright, counts);
}

function rank(total, percent) {
  let left = (percent / 100) * (total - 1);
  for (let level = 0; level < LEVELS; level += 1) {
    left -= histogram[level];
    if (left < 0) return level;
  }
  return LEVELS - 1;
}

function ofSorted(counts, step, low, high) {
  const chosen = [];
  for (let index = 0; index < counts.length; index += step) if (Number.isFinite(counts[index])) chosen.push(counts[index]);
  if (!chosen.length) return [0, 1];
  const sorted = Float32Array.from(chosen).sort();
  const at = (percent) => sorted[Math.round((percent / 100) * (sorted.length - 1))];
  return spread(at(low), at(high), counts);
}

function spread(dark, bright, counts) {
  if (bright > dark) return [dark, bright];
  const [low, high] = extremes(counts);
  return high > low ? [low, high] : [low - 1, low + 1];
}

/** Grey of each count into the pixels of an ImageData of the same size. */
export function paint(frame, display, image) {
  const [dark, bright] = limits(frame, display);
  const scale = 255 / (bright - dark);
  const pixels = new Uint32Array(image.data.buffer);
  const { counts } = frame;
  const flip = display.inverted ? 255 : 0;
  if (counts instanceof Float32Array) {
    for (let index = 0; index < counts.length; index += 1) pixels[index] = grey((counts[index] - dark) * scale, flip);
    return;
  }
  // One look into a table a pixel: at most as many entries as counts that are told apart.
  const from = Math.max(0, Math.floor(dark));
  const to = Math.min(LEVELS - 1, Math.ceil(bright));
  const table = new Uint32Array(to - from + 1);
  for (let level = from; level <= to; level += 1) table[level - from] = grey((level - dark) * scale, flip);
  const below = grey(0, flip);
  const above = grey(255, flip);
  for (let index = 0; index < counts.length; index += 1) {
    const level = counts[index];
    pixels[index] = level < from ? below : level > to ? above : table[level - from];
  }
}

function grey(value, flip) {
  const shown = (value > 255 ? 255 : value > 0 ? value : 0) ^ flip;
  return 0xff000000 | (shown << 16) | (shown << 8) | shown;
}
