// A part of the picture, drawn as a polygon: by pointer on the picture, or corner by corner with the keyboard.

import { streamPath } from "../ground/api.js";
import { fill, h, setText, svg } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { t } from "../ground/texts.js";
import { percent } from "../ground/time.js";
import { RegionShape } from "./region_shape.js";

const STEP = 0.01;
const FAR = 0.1;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class RegionEditor {
  /** @param {string} stream @param {Point[] | null} region */
  constructor(stream, region) {
    this._shape = new RegionShape(region ?? []);
    this._still = h("img", { src: streamPath(stream, "/preview"), alt: t("region.picture", { name: stream }), draggable: "false" });
    this._still.addEventListener("error", () => this._still.replaceWith(h("p", { class: "no-picture" }, t("region.noPicture"))), { once: true });
    this._still.addEventListener("load", () => this._stage.style.setProperty("--ratio", String(this._still.naturalWidth / this._still.naturalHeight)));
    this._outline = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    this._corners = h("div", { class: "corners", role: "group", "aria-label": t("region.corners") });
    this._stage = h("div", { class: "region-stage" }, this._still, this._outline, this._corners);
    this._begin = h("button", { type: "button", onclick: () => this._start() }, icon("region"), t("region.begin"));
    this._add = h("button", { type: "button", onclick: () => this._insert(this._shape.points.length - 1) }, icon("plus"), t("region.add"));
    this._whole = h("button", { type: "button", onclick: () => this._clear() }, t("region.whole"));
    this._words = h("p", { class: "small faint" });
    this.element = h(
      "div",
      { class: "fields region", role: "group", "aria-label": t("region.title") },
      this._stage,
      h("div", { class: "row" }, this._begin, this._add, this._whole),
      this._words,
      h("p", { class: "small faint", id: "region-keys" }, t("region.keys")),
    );
    this._stage.addEventListener("pointerdown", (event) => this._down(event));
    this._corners.addEventListener("keydown", (event) => this._key(event));
    this._draw();
  }

  /** @returns {Point[] | null} none is the whole picture */
  value() {
    const { points } = this._shape;
    return points.length ? points.map(([x, y]) => [x, y]) : null;
  }

  /** Refuse corners that enclose nothing. */
  check() {
    if (this._shape.points.length && !this._shape.isWhole) throw new Error(t("region.few"));
  }

  _start() {
    this._shape.begin();
    this._draw();
    this._focus(0);
  }

  _clear() {
    this._shape.points = [];
    this._draw();
    this._begin.focus();
  }

  /** @param {number} after a corner's number */
  _insert(after) {
    const made = this._shape.split(after);
    this._draw();
    if (made !== null) this._focus(made);
  }

  /** @param {number} index */
  _remove(index) {
    this._shape.remove(index);
    this._draw();
    if (this._shape.points.length) this._focus(Math.min(index, this._shape.points.length - 1));
    else this._begin.focus();
  }

  /** @param {number} index */
  _focus(index) {
    /** @type {HTMLElement | undefined} */ (this._corners.children[index])?.focus();
  }

  /** @param {PointerEvent} event */
  _down(event) {
    if (event.button) return;
    const corner = /** @type {Element} */ (event.target).closest(".corner");
    const index = corner ? [...this._corners.children].indexOf(corner) : this._shape.add(this._placeOf(event));
    if (index === null) return;
    event.preventDefault();
    this._draw();
    this._focus(index);
    this._drag(event.pointerId, index);
  }

  /** @param {number} pointer @param {number} index */
  _drag(pointer, index) {
    const move = (/** @type {PointerEvent} */ event) => {
      if (event.pointerId !== pointer) return;
      this._shape.points[index] = this._placeOf(event);
      this._draw();
    };
    const end = (/** @type {PointerEvent} */ event) => {
      if (event.pointerId !== pointer) return;
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  }

  /** @param {PointerEvent} event @returns {Point} */
  _placeOf(event) {
    const box = this._stage.getBoundingClientRect();
    return RegionShape.inside((event.clientX - box.left) / Math.max(1, box.width), (event.clientY - box.top) / Math.max(1, box.height));
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const index = [...this._corners.children].indexOf(/** @type {Element} */ (event.target));
    const point = this._shape.points[index];
    const arrow = ARROWS[event.key];
    if (!point || event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) {
      const step = event.shiftKey ? FAR : STEP;
      this._shape.points[index] = RegionShape.inside(point[0] + arrow[0] * step, point[1] + arrow[1] * step);
      this._draw();
    } else if (event.key === "Delete" || event.key === "Backspace") this._remove(index);
    else if (event.key === "Insert" || event.key === "+") this._insert(index);
    else return;
    event.preventDefault();
  }

  _draw() {
    const { points } = this._shape;
    const drawn = points.map(([x, y]) => `${x},${y}`).join(" ");
    fill(
      this._outline,
      points.length > 2 ? svg("path", { class: "outside", d: `M0 0H1V1H0ZM${points.map(([x, y]) => `${x} ${y}`).join("L")}Z` }) : null,
      svg(points.length > 2 ? "polygon" : "polyline", { points: drawn }),
    );
    while (this._corners.childElementCount > points.length) this._corners.lastElementChild?.remove();
    while (this._corners.childElementCount < points.length) this._corners.append(h("button", { type: "button", class: "corner", "aria-describedby": "region-keys" }));
    points.forEach(([x, y], index) => {
      const corner = /** @type {HTMLElement} */ (this._corners.children[index]);
      corner.style.setProperty("--x", `${x * 100}%`);
      corner.style.setProperty("--y", `${y * 100}%`);
      corner.setAttribute("aria-label", t("region.corner", { number: index + 1, all: points.length, x: percent(x), y: percent(y) }));
    });
    this._begin.hidden = points.length > 0;
    this._add.hidden = this._whole.hidden = !points.length;
    this._add.disabled = !this._shape.hasRoom;
    setText(this._words, points.length ? t(this._shape.isWhole ? "region.share" : "region.few", { share: percent(this._shape.share) }) : t("region.none"));
  }
}

/** A region in small, for a list. @param {Point[]} region @param {string} label */
export function regionSign(region, label) {
  return h(
    "span",
    { class: "badge" },
    svg("svg", { class: "region-sign", viewBox: "0 0 16 9", "aria-hidden": "true" }, svg("rect", { width: 16, height: 9, rx: 1 }), svg("polygon", { points: region.map(([x, y]) => `${x * 16},${y * 9}`).join(" ") })),
    label,
  );
}
