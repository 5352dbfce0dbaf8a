// The drawing of a memory: a row for each tier or layer, a mark for each moment, darker where more of it is kept.

import { mayMove } from "../ground/prefs.js";

const ROW_GAP = 6;
const EASE = 0.16;
const SETTLED = 0.004;
/** @type {Record<string, string>} */
const TINTS = { sensory: "--sensory", working: "--working", long_term: "--long-term" };

/** @typedef {import("./memory_model.js").Row} Row */

/** A mark that comes, stays and goes. @typedef {{row: number, seconds: number, now: number, wanted: number, tint: string}} Mark */

export class MemoryPicture {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.className = "memory-canvas";
    /** @type {Map<string, Mark>} */
    this._marks = new Map();
    this._numRows = 1;
    this._step = 1;
    this._domain = [0, 1];
    this._wanted = [0, 1];
    this._isFirst = true;
    this._frame = 0;
    this._sizes = new ResizeObserver(() => this._ask());
    this._sizes.observe(this.canvas);
    this._onTheme = () => this._ask();
    document.addEventListener("theme", this._onTheme);
  }

  /** @param {Row[]} rows @param {number[]} moments */
  show(rows, moments) {
    this._numRows = Math.max(1, rows.length);
    const first = moments[0] ?? 0;
    const last = moments.at(-1) ?? 1;
    this._step = Math.max(0.05, smallestStep(moments));
    this._wanted = [first, Math.max(last, first + this._step) + this._step];
    if (this._isFirst || !mayMove()) this._domain = [...this._wanted];
    for (const mark of this._marks.values()) mark.wanted = 0;
    rows.forEach((row, index) => {
      const most = Math.max(1, ...row.tokens.values());
      for (const [seconds, tokens] of row.tokens) {
        const key = `${row.label}|${seconds}`;
        const mark = this._marks.get(key) ?? { row: index, seconds, now: this._isFirst ? 1 : 0, wanted: 0, tint: TINTS[row.tier] ?? "--accent" };
        mark.row = index;
        mark.wanted = 0.22 + 0.78 * Math.sqrt(tokens / most);
        if (this._isFirst) mark.now = mark.wanted;
        this._marks.set(key, mark);
      }
    });
    this._isFirst = rows.length === 0;
    this._ask();
  }

  /** Begin anew: the rows mean something else. */
  clear() {
    this._marks.clear();
    this._isFirst = true;
  }

  /** @param {number} share of the width */
  secondsAt(share) {
    const [from = 0, until = 1] = this._domain;
    return from + share * (until - from);
  }

  /** @param {number} seconds */
  shareOf(seconds) {
    const [from = 0, until = 1] = this._wanted;
    return (seconds - from) / (until - from);
  }

  _ask() {
    this._frame ||= requestAnimationFrame(() => this._draw());
  }

  _draw() {
    this._frame = 0;
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const rowHeight = (height - ROW_GAP * (this._numRows - 1)) / this._numRows;
    context.fillStyle = colour("--raised");
    for (let row = 0; row < this._numRows; row += 1) context.fillRect(0, row * (rowHeight + ROW_GAP), width, rowHeight);
    const isMoving = this._move();
    const [from = 0, until = 1] = this._domain;
    const scale = width / (until - from);
    const markWidth = Math.max(2, this._step * scale - 1);
    const alarm = colour("--alarm");
    for (const mark of this._marks.values()) {
      context.globalAlpha = Math.max(0, Math.min(1, mark.now));
      context.fillStyle = mark.wanted ? colour(mark.tint) : alarm;
      context.fillRect((mark.seconds - from) * scale, mark.row * (rowHeight + ROW_GAP), markWidth, rowHeight);
    }
    context.globalAlpha = 1;
    if (isMoving) this._ask();
  }

  /** Bring everything a little nearer to where it is to be; return whether more is to come. */
  _move() {
    const ease = mayMove() ? EASE : 1;
    let isMoving = false;
    this._domain = this._domain.map((one, index) => {
      const wanted = this._wanted[index] ?? one;
      if (Math.abs(wanted - one) > 0.01 * this._step) isMoving = true;
      return one + (wanted - one) * ease;
    });
    for (const [key, mark] of this._marks) {
      const rest = mark.wanted - mark.now;
      // what is forgotten goes slowly enough to be seen
      mark.now += rest * (mark.wanted ? ease : ease / 3);
      if (!mark.wanted && mark.now < 0.03) this._marks.delete(key);
      else if (Math.abs(rest) > SETTLED) isMoving = true;
    }
    return isMoving;
  }

  end() {
    cancelAnimationFrame(this._frame);
    this._sizes.disconnect();
    document.removeEventListener("theme", this._onTheme);
  }
}

/** @param {number[]} moments in the order of time */
function smallestStep(moments) {
  let least = Infinity;
  for (let index = 1; index < moments.length; index += 1) least = Math.min(least, (moments[index] ?? 0) - (moments[index - 1] ?? 0));
  return Number.isFinite(least) && least > 0 ? least : 1;
}
