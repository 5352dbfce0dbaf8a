// How likely a watch finds its answer, as a curve, with its two thresholds as lines that can be moved.

import { get, send, streamPath } from "../ground/api.js";
import { fill, h, setText, svg } from "../ground/dom.js";
import { tellError } from "../ground/notices.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { number } from "../ground/time.js";
import { momentName } from "./thumbs.js";

const WIDTH = 600;
const HEIGHT = 110;
const SECONDS = 600;

/** @typedef {[number, number]} Score time in the stream, and how likely */

export class ScoreCurve {
  /** @param {string} stream @param {Watch} watch @param {() => void} [onMoved] is told that a threshold was moved */
  constructor(stream, watch, onMoved) {
    this._onMoved = onMoved;
    this._stream = stream;
    this._watch = watch;
    this._raise = watch.raise_at ?? 0.5;
    this._clear = watch.clear_at ?? Math.min(0.5, this._raise);
    /** @type {Score[]} */
    this._scores = [];
    this._place = h("div", {});
    this.element = h("div", { class: "curve" }, this._place, this._sliders());
    this._off = store.on("event", (event) => {
      if (event.stream === stream && event.payload["watch"] === watch.id) void this.load();
    });
    this.draw();
    void this.load();
  }

  async load() {
    if (!store.offers("GET", "/v1/streams/{}/watches/{}/scores")) return;
    try {
      const newest = store.streams.get(this._stream)?.newest_pts_seconds ?? 0;
      const from = Math.max(0, newest - SECONDS);
      const { scores } = await get(streamPath(this._stream, `/watches/${this._watch.id}/scores`), { from });
      this._scores = scores;
      this.draw();
    } catch {
      // without its past a watch is shown all the same
    }
  }

  draw() {
    fill(this._place, curveOf(this._stream, this._scores, this._watch.kind === "alert" ? [this._raise, this._clear] : [this._raise]));
  }

  _sliders() {
    if (!store.may("watch") || !["alert", "state"].includes(this._watch.kind)) return null;
    const lines = [this._slider(t("watch.raiseAt"), this._raise, (value) => (this._raise = value), "raise_at")];
    if (this._watch.kind === "alert") lines.push(this._slider(t("watch.clearAt"), this._clear, (value) => (this._clear = value), "clear_at"));
    return h("div", { class: "fields two" }, ...lines);
  }

  /** @param {string} label @param {number} value @param {(value: number) => void} set @param {"raise_at" | "clear_at"} name */
  _slider(label, value, set, name) {
    const told = h("output", { class: "small" }, number(value, 2));
    const input = h("input", { "data-id": `${name}-${this._watch.id}`, type: "range", min: "0", max: "1", step: "0.01", value: String(value) });
    input.addEventListener("input", () => {
      set(Number(input.value));
      setText(told, number(Number(input.value), 2));
      this.draw();
    });
    input.addEventListener("change", async () => {
      try {
        await send("PATCH", streamPath(this._stream, `/watches/${this._watch.id}`), { [name]: Number(input.value) });
      } catch (error) {
        tellError(error);
      }
      this._onMoved?.();
    });
    return h("label", { class: "slider" }, h("span", { class: "small" }, label), input, told);
  }

  end() {
    this._off();
  }
}

/** @param {string} stream @param {Score[]} scores @param {number[]} thresholds @param {number[]} [fired] times */
export function curveOf(stream, scores, thresholds, fired = []) {
  const [first = [0, 0]] = scores;
  const last = scores.at(-1) ?? first;
  const span = Math.max(1, last[0] - first[0]);
  const x = (/** @type {number} */ seconds) => (((seconds - first[0]) / span) * WIDTH).toFixed(1);
  const y = (/** @type {number} */ score) => (HEIGHT - 4 - score * (HEIGHT - 8)).toFixed(1);
  const points = scores.map(([seconds, score]) => `${x(seconds)},${y(score)}`).join(" ");
  const words = scores.length ? t("watch.curve", { score: number(last[1], 2), from: momentName(stream, first[0]), until: momentName(stream, last[0]) }) : t("watch.noScores");
  return h(
    "figure",
    { class: "score-curve" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
      ...thresholds.map((one, index) => svg("line", { class: index ? "threshold clear" : "threshold", x1: 0, x2: WIDTH, y1: y(one), y2: y(one) })),
      ...fired.map((one) => svg("line", { class: "fired", x1: x(one), x2: x(one), y1: 0, y2: HEIGHT })),
      scores.length > 1 ? svg("polyline", { class: "line", points }) : null,
    ),
    h("figcaption", { class: "small faint" }, words),
  );
}
