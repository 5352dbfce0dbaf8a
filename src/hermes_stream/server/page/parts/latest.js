// What happened to a stream lately, the newest first.

import { get } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { addressOf, go } from "../ground/router.js";
import { store, wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { moment } from "../ground/time.js";
import { eventSign, eventWords } from "./event_words.js";

const MOST = 6;

/** @param {string} stream */
export function latestOf(stream) {
  /** @type {ServerEventBody[]} */
  let events = [];
  const list = h("ul", { class: "latest" });
  const element = h("section", { class: "panel", "aria-label": t("latest.title") }, h("header", {}, h("h2", {}, t("latest.title"))), list);

  function draw() {
    fill(list, ...events.map(line));
    if (!events.length) fill(list, h("li", { class: "soft" }, t("nothing")));
  }

  const off = store.on("event", (event) => {
    if (event.stream !== stream) return;
    events = [event, ...events].slice(0, MOST);
    draw();
  });
  get("/v1/events", { stream, newest_first: true, limit: MOST }).then(
    (page) => {
      events = page.data;
      draw();
    },
    () => draw(),
  );
  return { element, end: off };
}

/** @param {ServerEventBody} event */
function line(event) {
  const [sign, severity] = eventSign(event);
  const wall = wallOf(event.stream ?? "", event.pts_seconds) ?? event.wall_seconds;
  return h(
    "li",
    {},
    h("span", { class: `event-sign ${severity}` }, icon(sign)),
    h("span", { class: "faint small" }, moment(wall)),
    h("button", { class: "quiet", onclick: () => go(addressOf("timeline", event.stream, { at: event.pts_seconds ?? undefined })) }, eventWords(event)),
  );
}
