// Small charts: a line over an area, with its newest value in words.

import { h, svg } from "../ground/dom.js";
import { t } from "../ground/texts.js";

const WIDTH = 240;
const HEIGHT = 56;

/**
 * @param {string} title
 * @param {number[]} values oldest first
 * @param {(value: number) => string} words
 * @param {number} [least] the top of the scale is at least this
 */
export function sparkline(title, values, words, least = 0) {
  const top = Math.max(least, ...values) || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(HEIGHT - 3 - (value / top) * (HEIGHT - 8)).toFixed(1)}`);
  const newest = values.at(-1);
  const told = newest === undefined ? t("nothing") : words(newest);
  const line = points.length > 1 ? points.join(" ") : `0,${HEIGHT - 3} ${WIDTH},${HEIGHT - 3}`;
  return h(
    "figure",
    { class: "spark" },
    h("figcaption", {}, h("span", { class: "faint small" }, title), h("strong", {}, told)),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${told}` },
      svg("polygon", { class: "area", points: `0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}` }),
      svg("polyline", { class: "line", points: line }),
    ),
    h("span", { class: "faint small" }, t("chart.top", { value: words(top) })),
  );
}
