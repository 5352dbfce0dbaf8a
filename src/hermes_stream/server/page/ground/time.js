// Times in words: of the clock on the wall, of a stream, and how long something took.

import { locale, t } from "./texts.js";

export const DAY = 86_400;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {Intl.DateTimeFormatOptions} options */
function format(options) {
  const key = locale() + JSON.stringify(options);
  let found = formats.get(key);
  if (!found) formats.set(key, (found = new Intl.DateTimeFormat(locale(), { hourCycle: "h23", ...options })));
  return found;
}

/** @param {number} wall seconds since 1970 */
export function clock(wall) {
  return format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(wall * 1000);
}

/** @param {number} wall */
export function hourMinute(wall) {
  return format({ hour: "2-digit", minute: "2-digit" }).format(wall * 1000);
}

/** @param {number} wall */
export function day(wall) {
  return format({ weekday: "short", day: "numeric", month: "short" }).format(wall * 1000);
}

/** Name a moment: the time, with the day where it is another one. @param {number} wall */
export function moment(wall) {
  const isToday = new Date(wall * 1000).toDateString() === new Date().toDateString();
  return isToday ? clock(wall) : `${day(wall)}, ${clock(wall)}`;
}

/** @param {number} seconds of a stream */
export function streamTime(seconds) {
  const whole = Math.floor(Math.max(0, seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours = 0, minutes = 0, rest = 0] = parts;
  const pad = (/** @type {number} */ one) => String(one).padStart(2, "0");
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 1) return `${number(seconds * 1000, seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 90) return `${number(seconds, seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${number(seconds / 60)} min`;
  if (seconds < 2 * DAY) return `${number(seconds / 3600, 1)} h`;
  return t("time.days", { number: number(seconds / DAY) });
}

/** @param {number} wall @param {number} now */
export function ago(wall, now) {
  return t("time.ago", { time: duration(Math.max(1, now - wall)) });
}

/** @param {number} value @param {number} [digits] */
export function number(value, digits = 0) {
  return value.toLocaleString(locale(), { maximumFractionDigits: digits, minimumFractionDigits: 0 });
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** step;
  return `${number(value, step && value < 100 ? 1 : 0)} ${units[step]}`;
}

/** @param {number} share in [0, 1] */
export function percent(share) {
  return `${number(share * 100)} %`;
}
