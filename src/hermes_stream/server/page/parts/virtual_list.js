// A long list of which only what is seen is drawn: ten thousand rows scroll like ten.

import { fill, h } from "../ground/dom.js";

const MARGIN = 8;

export class VirtualList {
  /**
   * @param {object} options
   * @param {number} options.rowHeight in pixels
   * @param {string} options.label
   * @param {(index: number) => Element} options.rowOf
   * @param {() => void} options.onEnd the end comes into view
   */
  constructor({ rowHeight, label, rowOf, onEnd }) {
    this._rowHeight = rowHeight;
    this._rowOf = rowOf;
    this._onEnd = onEnd;
    this._count = 0;
    this._rows = h("ul", { class: "virtual-rows", "aria-label": label });
    this._space = h("div", { class: "virtual-space" }, this._rows);
    this.element = h("div", { class: "virtual", tabindex: "0", role: "group", "aria-label": label }, this._space);
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this._sizes = new ResizeObserver(() => this.draw());
    this._sizes.observe(this.element);
  }

  /** @param {number} count */
  setCount(count) {
    this._count = count;
    this._space.style.setProperty("height", `${count * this._rowHeight}px`);
    this.draw();
  }

  draw() {
    const top = this.element.scrollTop;
    const height = this.element.clientHeight || 600;
    const first = Math.max(0, Math.floor(top / this._rowHeight) - MARGIN);
    const last = Math.min(this._count, Math.ceil((top + height) / this._rowHeight) + MARGIN);
    const focused = document.activeElement?.closest("[data-index]")?.getAttribute("data-index");
    this._rows.style.setProperty("transform", `translateY(${first * this._rowHeight}px)`);
    const rows = [];
    for (let index = first; index < last; index += 1) {
      const row = this._rowOf(index);
      row.setAttribute("data-index", String(index));
      row.setAttribute("aria-setsize", String(this._count));
      row.setAttribute("aria-posinset", String(index + 1));
      rows.push(row);
    }
    fill(this._rows, ...rows);
    if (focused) /** @type {HTMLElement | null} */ (this._rows.querySelector(`[data-index="${focused}"] button`))?.focus();
    if (last >= this._count - MARGIN) this._onEnd();
  }

  end() {
    this._sizes.disconnect();
  }
}
