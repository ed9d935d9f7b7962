// History by time from the table: bars, and the newest rows of the stretch.

import { askJson } from "./api.js";
import { el } from "./dom.js";
import { clock, clockOfDay, number } from "./format.js";
import { bars } from "./bars.js";

const STRETCHES = [[0.25, "15 minutes"], [1, "1 hour"], [6, "6 hours"], [24, "1 day"], [168, "7 days"]];
const ONLY = [["targets", "frames with targets"], ["all", "all rows"], ["rejected", "rejected and gaps"]];

export class History {
  #hours = 1;
  #until = null;
  #asked = 0;

  /** @param sensorId of one sensor; null: of all */
  constructor(sensorId = null) {
    this.sensorId = sensorId;
    this.length = el("select", { "aria-label": "Stretch of time", onchange: () => this.#go(Number(this.length.value), this.#until) }, STRETCHES.map(([hours, words]) => el("option", { value: hours, selected: hours === 1 }, words)));
    this.only = el("select", { "aria-label": "Rows that are listed", onchange: () => this.#ask() }, ONLY.map(([value, words]) => el("option", { value }, words)));
    this.answer = el("div", { "aria-live": "polite" });
    const step = (by) => this.#go(this.#hours, (this.#until ?? Date.now() / 1000) + by * this.#hours * 3600);
    this.element = el(
      "div",
      { class: "history" },
      el(
        "div",
        { class: "controls" },
        el("h2", {}, "History"),
        this.length,
        el("button", { type: "button", onclick: () => step(-1) }, "‹ earlier"),
        el("button", { type: "button", onclick: () => step(1) }, "later ›"),
        el("button", { type: "button", onclick: () => this.#go(this.#hours, null) }, "until now"),
        this.only,
      ),
      this.answer,
    );
    this.#ask();
  }

  #go(hours, until) {
    this.#hours = hours;
    this.#until = until === null || until > Date.now() / 1000 ? null : until;
    this.length.value = String(hours);
    this.#ask();
  }

  async #ask() {
    const asked = ++this.#asked;
    this.answer.setAttribute("aria-busy", "true");
    if (!this.answer.hasChildNodes()) this.answer.append(el("p", { class: "quiet pad" }, "Looking at the table…"));
    const query = new URLSearchParams({ hours: this.#hours, only: this.only.value });
    if (this.#until !== null) query.set("until", this.#until);
    if (this.sensorId !== null) query.set("sensor", this.sensorId);
    try {
      const found = await askJson(`/api/history?${query}`);
      if (asked === this.#asked) this.answer.replaceChildren(...this.#shown(found));
    } catch (error) {
      if (asked === this.#asked) this.answer.replaceChildren(el("p", { class: "trouble" }, error.message));
    } finally {
      if (asked === this.#asked) this.answer.removeAttribute("aria-busy");
    }
  }

  #shown(found) {
    const { num } = found;
    const words = `${number(num.frames)} frames, ${number(num.targets)} with targets, ${number(num.rejected)} rejected; ${clock(found.since)} to ${clock(found.until)} UTC`;
    const zoom = (since, until) => this.#go(Math.max((until - since) / 3600, 1 / 60), until);
    return [
      el("p", { class: "pad" }, words),
      bars(found, words, zoom),
      found.rows.length ? el("div", { class: "scroll" }, this.#table(found.rows)) : el("p", { class: "quiet pad" }, "No such rows in this time."),
    ];
  }

  #table(rows) {
    return el(
      "table",
      {},
      el("caption", {}, `The newest ${rows.length} of them`),
      el("thead", {}, el("tr", {}, ["Time (UTC)", this.sensorId === null ? "Sensor" : null, "Row", "Position"].filter(Boolean).map((name) => el("th", { scope: "col" }, name)))),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            { class: row.status === "ok" ? null : "bad" },
            el("td", { class: "num first", title: clock(row.at) }, clockOfDay(row.at)),
            this.sensorId === null ? el("td", {}, row.sensor_id ?? "–") : null,
            el("td", {}, this.#words(row)),
            el("td", {}, el("a", { href: `#/row/${row.position}` }, row.position)),
          ),
        ),
      ),
    );
  }

  #words(row) {
    if (row.status !== "ok") return `${row.status}: ${row.words}`;
    const more = row.targets > 4 ? ` and ${row.targets - 4} more` : "";
    const quiet = row.suppressed ? ` (${row.suppressed} filtered)` : "";
    return `${row.words || "no target"}${more}${quiet}`;
  }
}
