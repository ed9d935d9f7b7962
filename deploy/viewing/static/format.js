// Numbers and times as people read them.

export function age(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "never";
  if (seconds < 0.95) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

export const score = (value) => (value === null || value === undefined ? "" : value.toFixed(2));

export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19);
}

export const clockOfDay = (seconds) => clock(seconds).slice(11);

/** How sure it is that there is a target, and of its class how sure that is: the words of the whole project. */
export function words(detection) {
  const named = detection.label === "target" ? "" : `, ${detection.label}`;
  const sure = detection.label_score === null ? "" : ` ${score(detection.label_score)}`;
  return `target ${score(detection.score)}${named}${sure}`;
}

/** The last part of a track's id, which is its first sight: enough to tell tracks of one sensor apart. */
export const shortTrack = (id) => (id ? `#${id.slice(id.lastIndexOf("/") + 1).replace(/#0$/, "").replace("#", ".")}` : "");

export const count = (number_, noun) => `${number(number_)} ${noun}${number_ === 1 ? "" : "s"}`;
