// States and severities: a shape and a word each, the colour besides.

import { h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { t } from "../ground/texts.js";

/** @type {Record<string, [string, import("../ground/icons.js").IconName]>} */
const STATES = {
  live: ["good", "good"],
  opening: ["info", "info"],
  waiting: ["", "pause"],
  sleeping: ["", "pause"],
  reconnecting: ["warning", "warning"],
  ended: ["", "stop"],
  failed: ["alarm", "alarm"],
  closed: ["", "stop"],
};

/** @param {string} state */
export function stateBadge(state) {
  const [kind, sign] = STATES[state] ?? ["", "info"];
  return h("span", { class: `badge ${kind}` }, icon(sign), t(`state.${state}`));
}

/** @param {"info" | "warning" | "alarm"} severity */
export function severityBadge(severity) {
  return h("span", { class: `badge ${severity}` }, icon(severity), t(`severity.${severity}`));
}

/**
 * @param {import("../ground/icons.js").IconName} sign
 * @param {string} text
 * @param {...import("../ground/dom.js").Child} more
 */
export function empty(sign, text, ...more) {
  return h("div", { class: "empty" }, icon(sign), h("p", {}, text), ...more);
}

/** @param {[string, import("../ground/dom.js").Child][]} pairs */
export function figures(pairs) {
  return h("dl", { class: "figures" }, ...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/**
 * @param {number} share in [0, 1]
 * @param {string} label empty where the same stands beside it
 * @param {string} [tint] a colour's name
 */
export function bar(share, label, tint) {
  const width = `${Math.round(Math.max(0, Math.min(1, share)) * 1000) / 10}%`;
  const style = tint ? { "--share": width, "--tint": `var(--${tint})` } : { "--share": width };
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return h("span", { class: "bar", ...said, style }, h("i", {}));
}
