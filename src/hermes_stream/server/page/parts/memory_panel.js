// One stream's memory: how full, what is kept, what went just now.

import { streamPath } from "../ground/api.js";
import { fill, h, setText } from "../ground/dom.js";
import { pref } from "../ground/prefs.js";
import { addressOf, go } from "../ground/router.js";
import { follow } from "../ground/sse.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, number, percent } from "../ground/time.js";
import { bar } from "./badges.js";
import { MemoryModel } from "./memory_model.js";
import { MemoryPicture } from "./memory_picture.js";
import { momentName, picture } from "./thumbs.js";

const THUMB = 100;
const ROW = { tier: 64, layer: 22 };

/** @type {Tier[]} */
export const TIERS = ["sensory", "working", "long_term"];

export class MemoryPanel {
  /** @param {string} stream @param {boolean} byLayer @param {...import("../ground/dom.js").Child} actions */
  constructor(stream, byLayer, ...actions) {
    this._stream = stream;
    this._byLayer = byLayer;
    this._model = new MemoryModel();
    this._picture = new MemoryPicture();
    this._policy = h("span", { class: "soft" });
    this._fill = h("div", { class: "fullness" });
    this._labels = h("div", { class: "row-labels", "aria-hidden": "true" });
    this._strip = h("div", { class: "memory-strip", "aria-hidden": "true" });
    this._ends = h("div", { class: "memory-ends small faint" });
    this._forgotten = h("ul", { class: "thumbs forgotten" });
    this._count = h("span", { class: "faint small" });
    this._table = h("details", {}, h("summary", {}, t("memory.table")), h("div", {}));
    this._problem = h("p", { class: "soft", hidden: true });
    this._tip = h("div", { class: "hover", hidden: true, "aria-hidden": "true" });
    const drawing = h("div", { class: "memory-drawing" }, this._strip, this._picture.canvas, this._tip);
    this.element = h(
      "section",
      { class: "panel memory-panel", "aria-label": t("memory.of", { name: stream }) },
      h("header", {}, h("h2", {}, stream), h("span", { class: "grow" }, this._policy), ...actions),
      h(
        "div",
        { class: "inside" },
        this._problem,
        this._fill,
        h("div", { class: "memory-body" }, this._labels, h("div", {}, drawing, this._ends)),
        h("h3", {}, t("memory.forgotten"), " ", this._count),
        this._forgotten,
        this._table,
      ),
    );
    this._point(this._picture.canvas);
    this._endFollow = follow(streamPath(stream, "/memory?every_seconds=0.5"), {
      onEvent: ({ event, data }) => {
        if (event === "memory") this._take(JSON.parse(data));
      },
      onRefused: (error) => this._refused(error),
    });
    this._endFigures = store.on("figures", () => this._drawFill());
    this._table.addEventListener("toggle", () => this._drawTable());
  }

  /** @param {boolean} byLayer */
  setByLayer(byLayer) {
    this._byLayer = byLayer;
    this._picture.clear();
    this.draw();
  }

  /** @param {Error} error */
  _refused(error) {
    this._problem.hidden = false;
    this._problem.textContent = error.message;
    return false;
  }

  /** @param {Memory} memory */
  _take(memory) {
    this._problem.hidden = true;
    if (pref("paused", false) && this._model.layers.length) return;
    this._model.take(memory, store.now());
    this.draw();
  }

  draw() {
    const rows = this._model.rows(this._byLayer, (tier) => t(`tier.${tier}`), (layer) => t("layer", { number: layer + 1 }));
    const moments = this._model.moments();
    const height = rows.length * (this._byLayer ? ROW.layer : ROW.tier);
    this._picture.canvas.style.setProperty("height", `${Math.max(40, height)}px`);
    this._labels.style.setProperty("--height", `${Math.max(40, height)}px`);
    fill(this._labels, ...rows.map((row) => h("span", { class: row.tier }, row.label)));
    this._picture.show(rows, moments);
    this._picture.canvas.setAttribute("aria-label", this._words(rows, moments));
    this._drawStrip(moments);
    this._drawForgotten();
    const first = moments[0];
    const last = moments.at(-1);
    fill(
      this._ends,
      h("span", {}, first === undefined ? t("memory.nothing") : momentName(this._stream, first)),
      h("span", {}, first === undefined || last === undefined ? "" : t("memory.moments", { number: number(moments.length), time: duration(last - first) })),
      h("span", {}, last === undefined ? "" : momentName(this._stream, last)),
    );
    this._drawFill();
    if (this._table.open) this._drawTable();
  }

  /** @param {import("./memory_model.js").Row[]} rows @param {number[]} moments */
  _words(rows, moments) {
    if (!moments.length) return t("memory.nothing");
    return rows.map((row) => t("memory.row", { row: row.label, tokens: row.numTokens, moments: row.tokens.size })).join("; ");
  }

  _drawFill() {
    const status = store.streams.get(this._stream);
    if (!status) return;
    const budget = status.budget_tokens;
    setText(this._policy, budget ? t("memory.policyBudget", { policy: status.policy, budget: number(budget) }) : status.policy);
    const most = new Map(TIERS.map((tier) => [tier, Math.max(0, ...this._model.layers.filter((one) => one.tier === tier).map((one) => one.num_tokens))]));
    fill(
      this._fill,
      ...TIERS.map((tier) => {
        const tokens = most.get(tier) ?? 0;
        const words = budget ? t("memory.fill", { kept: number(tokens), budget: number(budget), share: percent(tokens / budget) }) : t("memory.kept", { kept: number(tokens) });
        return h("div", { class: "fill-line" }, h("span", { class: `tier-name ${tier}` }, t(`tier.${tier}`)), budget ? bar(tokens / budget, words, tier.replace("_", "-")) : null, h("span", { class: "small soft" }, words));
      }),
    );
  }

  /** @param {number[]} moments */
  _drawStrip(moments) {
    const width = this._strip.clientWidth;
    if (!width) return;
    const wanted = new Map();
    let place = -Infinity;
    for (const seconds of [...moments].reverse()) {
      const url = this._model.pictures.get(seconds);
      const at = Math.min(width - THUMB, Math.max(0, this._picture.shareOf(seconds) * width - THUMB / 2));
      if (url && (place === -Infinity || place - at >= THUMB + 4)) {
        wanted.set(url, at);
        place = at;
      }
    }
    const shown = new Map([...this._strip.children].map((one) => [one.getAttribute("data-url"), /** @type {HTMLElement} */ (one)]));
    for (const [url, element] of shown) if (!wanted.has(url)) element.remove();
    for (const [url, at] of wanted) {
      const element = shown.get(url) ?? h("img", { src: url, alt: "", "data-url": url });
      element.style.setProperty("--at", `${at}px`);
      if (!element.isConnected) this._strip.append(element);
    }
  }

  _drawForgotten() {
    setText(this._count, this._model.numForgotten ? number(this._model.numForgotten) : "");
    if (!this._model.forgotten.length) {
      fill(this._forgotten, h("li", { class: "faint small" }, t("memory.noneForgotten")));
      return;
    }
    fill(
      this._forgotten,
      ...this._model.forgotten.map((one) => h("li", { class: "thumb" }, picture(one.url), h("span", { class: "when" }, momentName(this._stream, one.seconds)))),
    );
  }

  _drawTable() {
    const rows = this._model.layers.map((layer) =>
      h("tr", {}, h("td", {}, number(layer.layer_idx + 1)), h("td", {}, t(`tier.${layer.tier}`)), h("td", {}, number(layer.num_tokens)), h("td", {}, number(layer.seconds.length)), h("td", {}, number(layer.num_summary_tokens))),
    );
    const names = ["memory.col.layer", "memory.col.tier", "memory.col.tokens", "memory.col.moments", "memory.col.summaries"];
    const table = h("table", {}, h("thead", {}, h("tr", {}, ...names.map((one) => h("th", { scope: "col" }, t(one))))), h("tbody", {}, ...rows));
    const place = this._table.lastElementChild;
    if (place) fill(place, table);
  }

  /** @param {HTMLCanvasElement} canvas */
  _point(canvas) {
    const nearest = (/** @type {MouseEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      const seconds = this._picture.secondsAt((event.clientX - box.left) / box.width);
      return this._model.moments().reduce((a, b) => (Math.abs(b - seconds) < Math.abs(a - seconds) ? b : a), this._model.moments()[0] ?? 0);
    };
    canvas.addEventListener("mousemove", (event) => {
      const seconds = nearest(event);
      const url = this._model.pictures.get(seconds);
      this._tip.hidden = false;
      const width = canvas.clientWidth;
      this._tip.style.setProperty("--at", `${Math.min(width - 90, Math.max(90, event.offsetX))}px`);
      fill(this._tip, url ? h("img", { src: url, alt: "" }) : null, h("span", {}, momentName(this._stream, seconds)));
    });
    canvas.addEventListener("mouseleave", () => (this._tip.hidden = true));
    canvas.addEventListener("click", (event) => go(addressOf("timeline", this._stream, { at: nearest(event) })));
  }

  end() {
    this._endFollow();
    this._endFigures();
    this._picture.end();
  }
}
