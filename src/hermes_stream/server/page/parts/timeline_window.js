// Which part of the past is seen, and where the cursor stands: follows, plays, or stands.

import { DAY } from "../ground/time.js";

export const SHORTEST = 10;
export const LONGEST = 7 * DAY;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY];

/** @typedef {"follow" | "play" | "stand"} Mode */

/** A window of wall-clock time, in seconds since 1970. */
export class TimeWindow {
  /** @param {number} at @param {number} span */
  constructor(at, span) {
    this.span = Math.min(LONGEST, Math.max(SHORTEST, span));
    this.center = at;
    this.at = at;
    /** @type {Mode} */
    this.mode = "stand";
    this.speed = 1;
  }

  get from() {
    return this.center - this.span / 2;
  }

  get until() {
    return this.center + this.span / 2;
  }

  /** Where a moment lies, as a share of the width. @param {number} wall */
  shareOf(wall) {
    return (wall - this.from) / this.span;
  }

  /** @param {number} share */
  wallAt(share) {
    return this.from + share * this.span;
  }

  /** Show more or less around a place that stays where it is. @param {number} factor @param {number} [share] */
  zoom(factor, share = this.shareOf(this.at)) {
    const kept = share >= 0 && share <= 1 ? share : 0.5;
    const wall = this.wallAt(kept);
    this.span = Math.min(LONGEST, Math.max(SHORTEST, this.span * factor));
    this.center = wall + (0.5 - kept) * this.span;
  }

  /** Put the cursor somewhere, and bring it into view. @param {number} wall */
  moveTo(wall) {
    this.at = wall;
    const share = this.shareOf(wall);
    if (share < 0.04 || share > 0.96) this.center = wall;
  }

  /** Let time go by. @param {number} seconds on the wall @param {number} end the newest moment */
  pass(seconds, end) {
    if (this.mode === "follow") {
      this.at = end;
      this.center = end - this.span * 0.4;
    } else if (this.mode === "play") {
      this.moveTo(Math.min(end, this.at + seconds * this.speed));
      if (this.at >= end) this.mode = "follow";
    }
  }

  /** Lines to draw, at whole minutes, hours or days of the place where the reader is. @param {number} most */
  ticks(most) {
    const step = STEPS.find((one) => this.span / one <= most) ?? DAY * 2;
    const shift = new Date(this.center * 1000).getTimezoneOffset() * 60;
    const found = [];
    const first = Math.ceil((this.from - shift) / step) * step + shift;
    for (let wall = first; wall <= this.until; wall += step) found.push(wall);
    return { step, walls: found };
  }
}

/**
 * Join what would lie upon each other.
 *
 * @template {{wall: number, rank: number}} T
 * @param {T[]} items in the order of time
 * @param {(wall: number) => number} pixelOf
 * @param {number} room pixels that one takes
 * @returns {T[][]}
 */
export function grouped(items, pixelOf, room) {
  /** @type {T[][]} */
  const groups = [];
  let place = -Infinity;
  for (const item of items) {
    const pixel = pixelOf(item.wall);
    if (pixel - place < room) groups.at(-1)?.push(item);
    else {
      groups.push([item]);
      place = pixel;
    }
  }
  return groups;
}
