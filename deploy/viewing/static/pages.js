// The pages by the part of the address behind #: wall, one sensor, one row, history.

import { byId } from "./dom.js";

const PAGES = ["wall", "sensor", "row", "history"];

/** Opens the page of the address now and after each change; `open[name](rest)` prepares it, `close[name]()` ends it. */
export function pages({ open, close }) {
  let now = null;
  const go = () => {
    const [, name = "", ...rest] = location.hash.split("/");
    const wanted = PAGES.includes(name) ? name : "wall";
    if (now) close[now]?.();
    now = wanted;
    for (const each of PAGES) byId(`${each}-view`).hidden = each !== wanted;
    for (const each of ["wall", "history"]) {
      if (each === wanted) byId(`nav-${each}`).setAttribute("aria-current", "page");
      else byId(`nav-${each}`).removeAttribute("aria-current");
    }
    byId("main").scrollTop = 0;
    open[wanted]?.(rest.join("/"));
  };
  addEventListener("hashchange", go);
  go();
}
