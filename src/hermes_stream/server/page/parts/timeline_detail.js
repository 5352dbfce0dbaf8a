// What was chosen on a timeline, in words and pictures.

import { h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, moment, number } from "../ground/time.js";
import { severityBadge } from "./badges.js";
import { restoreButton } from "./restoring.js";
import { evidenceThumbs, momentName, picture } from "./thumbs.js";

/**
 * @param {string} stream
 * @param {import("./timeline_items.js").Item} item
 * @param {(item: import("./timeline_items.js").Item) => void} onReview
 */
export function itemDetail(stream, item, onReview) {
  const { incident } = item;
  const lasted = item.until === undefined ? null : duration(item.until - item.wall);
  return h(
    "div",
    { class: "inside" },
    h("div", { class: "row" }, severityBadge(item.severity), h("span", { class: "faint small" }, moment(item.wall), lasted ? ` · ${lasted}` : "")),
    h("h2", {}, item.title),
    item.text ? h("p", {}, item.text) : null,
    item.picture && !incident ? h("div", { class: "detail-picture" }, picture(item.picture, item.title)) : null,
    incident ? incidentPictures(stream, incident) : null,
    item.evidence?.length ? evidenceThumbs(stream, item.evidence) : null,
    incident ? h("p", { class: "small soft" }, t("incident.facts", { status: t(`incident.${incident.status}`), score: number(incident.score, 2), updates: number(incident.num_updates) })) : null,
    restoreButton(stream, item.snapshot, moment(item.wall)),
    incident && store.offers("PATCH", "/v1/incidents/{}")
      ? h("button", { "aria-pressed": String(incident.reviewed), onclick: () => onReview(item) }, icon("good"), t(incident.reviewed ? "incident.unreview" : "incident.review"))
      : null,
  );
}

/** @param {string} stream @param {Incident} incident */
function incidentPictures(stream, incident) {
  return h(
    "ul",
    { class: "thumbs", "aria-label": t("incident.pictures") },
    ...(incident.pictures ?? []).map((one) => {
      const when = momentName(stream, one.stream_seconds);
      return h("li", {}, h("a", { class: "thumb", href: addressOf("timeline", stream, { at: one.stream_seconds }) }, picture(one.url), h("span", { class: "when" }, when)));
    }),
  );
}
