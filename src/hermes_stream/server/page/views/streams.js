// All streams at a glance: a picture, a name, how it goes.

import { fill, h, setText } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { preview } from "../ground/preview.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, number } from "../ground/time.js";
import { addDialog } from "../parts/add_stream.js";
import { AskAll } from "../parts/ask_all.js";
import { empty, stateBadge } from "../parts/badges.js";
import { pauseButton } from "../parts/pausing.js";
import { head } from "../parts/shell.js";
import { streamMenu } from "../parts/stream_menu.js";

const GRID_FPS = 2;
/** So many are shown large, two beside each other. */
const FEW = 4;

/** @type {ViewShow} */
export function show(root) {
  const summary = h("span", { class: "soft" });
  const grid = h("ul", { class: "grid", "aria-label": t("nav.streams") });
  const nothing = empty("camera", t("streams.empty"), addButton("primary"), h("p", { class: "small" }, t("streams.command")), h("code", {}, "hermes serve --source door=rtsp://…"));
  /** @type {Map<string, Card>} */
  const cards = new Map();

  const pause = pauseButton();
  const asking = store.may("ask") ? new AskAll() : null;

  function draw() {
    const streams = [...store.streams.values()];
    for (const [name, card] of cards) {
      if (store.streams.has(name)) continue;
      card.end();
      cards.delete(name);
    }
    for (const one of streams) {
      let card = cards.get(one.name);
      if (!card) {
        cards.set(one.name, (card = new Card(one.name)));
        grid.append(card.element);
      }
      card.draw(one);
    }
    grid.classList.toggle("few", streams.length <= FEW);
    nothing.hidden = streams.length > 0;
    grid.hidden = pause.element.hidden = wall.hidden = !streams.length;
    if (add) add.hidden = !streams.length;
    if (asking) asking.element.hidden = !streams.length;
    setText(summary, summaryOf(streams));
  }

  const wall = h("button", { class: "wide-only", onclick: () => document.dispatchEvent(new CustomEvent("wall")) }, icon("wall"), t("wall"));
  const add = addButton("primary");
  root.append(head(t("nav.streams"), [summary], pause.element, wall, add), asking?.element ?? "", grid, nothing);
  draw();
  const ends = [store.on("figures", draw), store.on("incidents", draw)];
  return () => {
    ends.forEach((end) => end());
    pause.end();
    asking?.end();
    cards.forEach((card) => card.end());
  };
}

/** @param {string} kind */
function addButton(kind) {
  if (!store.may("ask")) return null;
  return h("button", { class: kind, onclick: () => addDialog() }, icon("plus"), t("streams.add"));
}

/** @param {StreamStatus[]} streams */
function summaryOf(streams) {
  if (!streams.length) return "";
  const live = streams.filter((one) => one.state === "live").length;
  const troubled = streams.filter((one) => one.state === "reconnecting" || one.state === "failed").length;
  const more = store.figures?.capacity.more_streams ?? 0;
  const parts = [t("streams.live", { live, all: streams.length })];
  if (troubled) parts.push(t("streams.troubled", { number: troubled }));
  parts.push(t("streams.more", { number: number(more) }));
  return parts.join(" · ");
}

/** A stream in the grid. */
class Card {
  /** @param {string} name */
  constructor(name) {
    this._name = name;
    this._preview = preview(name, { fps: GRID_FPS });
    this._state = h("div", { class: "state" });
    this._alerts = h("div", { class: "alerts" });
    this._reason = h("p", { class: "reason small", hidden: true });
    this._figures = h("dl", { class: "card-figures" });
    this._shownState = "";
    const link = h("a", { href: addressOf("stream", name), class: "card-link" }, name);
    this.element = h(
      "li",
      { class: "card panel" },
      h("div", { class: "picture" }, this._preview.canvas, this._state, this._alerts),
      h("div", { class: "card-text" }, h("div", { class: "row" }, h("h2", { class: "grow" }, link), streamMenu(name)), this._reason, this._figures),
    );
  }

  /** @param {StreamStatus} status */
  draw(status) {
    const raised = [...store.raised.values()].filter((one) => one.stream === this._name);
    const key = `${status.state}|${raised.map((one) => one.id)}`;
    if (key !== this._shownState) {
      this._shownState = key;
      fill(this._state, stateBadge(status.state));
      fill(this._alerts, ...raised.slice(0, 2).map((one) => h("span", { class: `badge ${one.payload["severity"] ?? "warning"}` }, icon(one.payload["severity"] ?? "warning"), one.payload["name"] ?? one.payload["question"])));
      this._preview.refresh();
    }
    const reason = status.state === "live" ? "" : (status.reason ?? "");
    this._reason.hidden = !reason;
    setText(this._reason, reason);
    const drops = status.dropped.decode + status.dropped.ring + status.dropped.engine;
    fill(
      this._figures,
      ...pair(t("figure.lag"), duration(status.lag_seconds)),
      ...pair(t("figure.fps"), number(status.delivered_fps, 1)),
      ...pair(t("figure.dropped"), number(drops)),
    );
  }

  end() {
    this._preview.end();
    this.element.remove();
  }
}

/** @param {string} name @param {string} value */
function pair(name, value) {
  return [h("div", {}, h("dt", {}, name), h("dd", {}, value))];
}
