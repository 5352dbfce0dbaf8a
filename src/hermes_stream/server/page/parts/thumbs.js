// Pictures of moments, in the order of time: when, and how much of the attention rested there.

import { h } from "../ground/dom.js";
import { addressOf } from "../ground/router.js";
import { wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { clock, percent, streamTime } from "../ground/time.js";
import { bar } from "./badges.js";

/** @param {string} stream @param {number} seconds */
export function momentName(stream, seconds) {
  const wall = wallOf(stream, seconds);
  return wall === undefined ? streamTime(seconds) : clock(wall);
}

/**
 * @param {string} stream
 * @param {Evidence[]} evidence
 */
export function evidenceThumbs(stream, evidence) {
  const inOrder = [...evidence].sort((a, b) => a.seconds - b.seconds);
  return h(
    "ul",
    { class: "thumbs", "aria-label": t("evidence.title") },
    ...inOrder.map((one) => {
      const when = momentName(stream, one.seconds);
      const share = percent(one.share);
      return h(
        "li",
        {},
        h(
          "a",
          { class: "thumb", href: addressOf("timeline", stream, { at: one.seconds }), title: t("evidence.at", { time: when, share }) },
          picture(one.picture_url),
          h("span", { class: "hidden-text" }, t("evidence.one"), " "),
          h("span", { class: "when" }, when, " "),
          h("span", { class: "share" }, bar(one.share, ""), share),
        ),
      );
    }),
  );
}

/** A stored picture, or a place where one was. @param {string | null | undefined} url @param {string} [alt] */
export function picture(url, alt = "") {
  const without = () => h("span", { class: "no-picture" }, t("picture.gone"));
  if (!url) return without();
  const image = h("img", { src: url, alt, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(without()));
  return image;
}
