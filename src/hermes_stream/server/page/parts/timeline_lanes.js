// The drawing of a timeline: lines of time, lanes of things, one cursor.

import { fill, h, refill, setText } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { t } from "../ground/texts.js";
import { DAY, clock, day, duration, hourMinute, moment } from "../ground/time.js";
import { grouped } from "./timeline_window.js";

const MARK = 28;
const THUMB = 92;
/** @type {import("./timeline_items.js").Lane[]} */
const LANES = ["incidents", "answers", "source", "snapshots"];
/** @type {Record<string, import("../ground/icons.js").IconName>} */
const SIGNS = { answers: "answer", snapshots: "save", source: "gap" };

/** @typedef {import("./timeline_items.js").Item} Item */

export class Lanes {
  /**
   * @param {object} hooks
   * @param {(items: Item[]) => void} hooks.onChoose
   * @param {(wall: number) => void} hooks.onPoint
   */
  constructor({ onChoose, onPoint }) {
    this._onChoose = onChoose;
    this._onPoint = onPoint;
    this._ticks = h("div", { class: "ticks", "aria-hidden": "true" });
    this._strip = h("div", { class: "strip", "aria-hidden": "true" });
    this._lanes = LANES.map((lane) => h("div", { class: `lane ${lane}`, role: "group", "aria-label": t(`lane.${lane}`) }));
    this.slider = h("span", { role: "slider", tabindex: "0", "aria-label": t("timeline.slider"), "aria-describedby": "timeline-keys" });
    this._cursor = h("div", { class: "cursor" }, this.slider);
    this._future = h("div", { class: "future", "aria-hidden": "true" });
    this._drawn = "";
    this.element = h("div", { class: "lanes" }, this._ticks, this._future, this._strip, ...this._lanes, this._cursor);
    this.names = h("div", { class: "lane-names", "aria-hidden": "true" }, h("span", { class: "ticks" }), h("span", { class: "strip" }, t("lane.pictures")), ...LANES.map((lane) => h("span", { class: "lane" }, t(`lane.${lane}`))));
  }

  get width() {
    return Math.max(1, this.element.clientWidth);
  }

  /**
   * @param {import("./timeline_window.js").TimeWindow} seen
   * @param {Item[]} items
   * @param {[number, string][]} pictures
   * @param {number} end the newest moment
   * @param {string | null} chosen
   */
  draw(seen, items, pictures, end, chosen) {
    const width = this.width;
    const pixelOf = (/** @type {number} */ wall) => seen.shareOf(wall) * width;
    this._cursor.style.setProperty("--at", `${pixelOf(seen.at)}px`);
    setText(this.slider, clock(seen.at));
    this._future.style.setProperty("--from", `${Math.max(0, Math.min(width, pixelOf(end)))}px`);
    const key = [seen.from.toFixed(2), seen.span, width, items.length, pictures.length, chosen, items.map((one) => [one.incident?.reviewed, one.until]).join()].join("|");
    if (key === this._drawn) return;
    this._drawn = key;
    this._drawTicks(seen, width);
    this._drawPictures(seen, pictures, pixelOf);
    LANES.forEach((lane, index) => {
      const own = items.filter((one) => one.lane === lane && (one.until ?? one.wall) >= seen.from && one.wall <= seen.until);
      const spans = own.filter((one) => one.until !== undefined).map((one) => spanOf(one, pixelOf));
      const marks = grouped(own, pixelOf, MARK).map((group) => this._mark(group, pixelOf, chosen));
      const element = /** @type {HTMLElement} */ (this._lanes[index]);
      refill(element, ...spans, ...marks);
    });
  }

  /** @param {import("./timeline_window.js").TimeWindow} seen @param {number} width */
  _drawTicks(seen, width) {
    const { step, walls } = seen.ticks(Math.max(3, Math.floor(width / 84)));
    fill(
      this._ticks,
      ...walls.map((wall) => {
        const words = step >= DAY ? day(wall) : step >= 60 ? hourMinute(wall) : clock(wall);
        const isMidnight = hourMinute(wall) === "00:00" && step < DAY && step >= 60;
        return h("span", { style: { "--at": `${seen.shareOf(wall) * width}px` } }, isMidnight ? day(wall) : words);
      }),
    );
  }

  /**
   * @param {import("./timeline_window.js").TimeWindow} seen
   * @param {[number, string][]} pictures
   * @param {(wall: number) => number} pixelOf
   */
  _drawPictures(seen, pictures, pixelOf) {
    const inside = pictures.filter(([wall]) => wall >= seen.from && wall <= seen.until).map(([wall, url]) => ({ wall, url, rank: 0 }));
    const groups = grouped(inside, pixelOf, THUMB + 4);
    fill(
      this._strip,
      ...inside.map((one) => h("i", { style: { "--at": `${pixelOf(one.wall)}px` } })),
      ...groups.map(([first]) => first && h("img", { src: first.url, alt: "", loading: "lazy", style: { "--at": `${pixelOf(first.wall)}px` }, onclick: () => this._onPoint(first.wall) })),
    );
  }

  /** @param {Item[]} group @param {(wall: number) => number} pixelOf @param {string | null} chosen */
  _mark(group, pixelOf, chosen) {
    const worst = group.reduce((a, b) => (b.rank > a.rank ? b : a));
    const first = /** @type {Item} */ (group[0]);
    const many = group.length > 1;
    const isReviewed = group.every((one) => one.incident?.reviewed);
    const words = many
      ? t("item.many", { number: group.length, from: moment(first.wall), what: worst.title })
      : t("item.one", { what: worst.title, severity: t(`severity.${worst.severity}`), time: moment(worst.wall) });
    return h(
      "button",
      {
        class: `mark ${worst.severity}${isReviewed ? " reviewed" : ""}`,
        "data-id": first.id,
        "aria-label": isReviewed ? `${words}, ${t("reviewed")}` : words,
        "aria-pressed": String(group.some((one) => one.id === chosen)),
        title: words,
        style: { "--at": `${pixelOf(first.wall)}px` },
        onclick: () => this._onChoose(group),
      },
      icon(signOf(worst)),
      many ? h("b", {}, String(group.length)) : null,
    );
  }
}

/** What a thing is, or how bad. @param {Item} item @returns {import("../ground/icons.js").IconName} */
export function signOf(item) {
  if (item.lane === "incidents") return item.severity;
  return item.rank ? "warning" : (SIGNS[item.lane] ?? "info");
}

/** @param {Item} item @param {(wall: number) => number} pixelOf */
function spanOf(item, pixelOf) {
  const from = pixelOf(item.wall);
  const width = Math.max(2, pixelOf(item.until ?? item.wall) - from);
  return h("div", { class: `span ${item.severity}`, title: `${item.title} · ${duration((item.until ?? item.wall) - item.wall)}`, style: { "--at": `${from}px`, "--width": `${width}px` } });
}
