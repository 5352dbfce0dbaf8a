// Standing questions of a stream, and the alerts that they raised.

import { get, send, streamPath } from "../ground/api.js";
import { fill, h, refill } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { errorLine, showError, sound, tell, tellError } from "../ground/notices.js";
import { pref, setPref } from "../ground/prefs.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { moment } from "../ground/time.js";
import { empty, severityBadge } from "../parts/badges.js";
import { check, confirmDialog, field, formDialog } from "../parts/dialog.js";
import { head } from "../parts/shell.js";
import { momentName, picture } from "../parts/thumbs.js";
import { regionSign } from "../parts/region_editor.js";
import { ScoreCurve } from "../parts/score_curve.js";
import { watchForm } from "../parts/watch_form.js";
import { toStreams } from "./stream.js";

const NUM_ALERTS = 50;

/** @type {ViewShow} */
export function show(root, { stream }) {
  if (!stream) {
    root.append(head(t("nav.watches"), []), empty("watches", t("no.stream"), toStreams()));
    return;
  }
  const hasWatches = store.offers("GET", "/v1/streams/{}/watches");
  const list = h("ul", { class: "watches" });
  const alerts = h("ul", { class: "alerts-list" });
  const make = hasWatches && store.may("watch") ? h("button", { class: "primary", onclick: () => void watchForm(stream, null, load) }, icon("plus"), t("watch.new")) : null;
  /** @type {ScoreCurve[]} */
  let curves = [];
  let isDue = false;

  async function load() {
    try {
      const { data } = await get(streamPath(stream ?? "", "/watches"));
      isDue = list.querySelector("input:active") !== null; // a slider in somebody's hand stays there
      if (isDue) return;
      curves.forEach((one) => one.end());
      curves = [];
      refill(list, ...data.map((/** @type {Watch} */ one) => card(one)));
      if (!data.length) fill(list, h("li", {}, empty("watches", t(make ? "watch.empty" : "watch.emptyMayNot"))));
    } catch (error) {
      showError(list, error);
    }
  }

  /** @param {Watch} watch */
  function card(watch) {
    const curve = new ScoreCurve(stream ?? "", watch, () => isDue && void load());
    curves.push(curve);
    return h("li", { class: "panel watch" }, watchHead(stream ?? "", watch, load), h("p", {}, watch.question), watch.failure ? errorLine(watch.failure) : null, curve.element);
  }

  async function loadAlerts() {
    try {
      refill(alerts, ...(await alertsOf(stream ?? "")).map((one) => alertLine(stream ?? "", one, loadAlerts)));
      if (!alerts.childElementCount) fill(alerts, h("li", { class: "soft" }, t("alerts.none")));
    } catch (error) {
      showError(alerts, error);
    }
  }

  root.append(
    head(t("nav.watches"), [h("span", { class: "soft" }, stream)], make),
    h(
      "div",
      { class: "watch-view" },
      h("section", { "aria-label": t("watch.list") }, hasWatches ? list : empty("watches", t("watch.notOffered"))),
      h("section", { class: "panel", "aria-label": t("alerts.title") }, h("header", {}, h("h2", { class: "grow" }, t("alerts.title"))), h("div", { class: "inside fields" }, told(), alerts)),
    ),
  );
  if (hasWatches) void load();
  void loadAlerts();
  const ends = [
    store.on("incidents", () => void loadAlerts()),
    store.on("event", (event) => event.stream === stream && ["alert_raised", "alert_cleared", "state_changed", "count_rose", "watch_failed"].includes(event.kind) && hasWatches && void load()),
  ];
  return () => {
    ends.forEach((end) => end());
    curves.forEach((one) => one.end());
  };
}

/** How this browser speaks up: sound, notification. */
function told() {
  const loud = h("input", { type: "checkbox", checked: pref("sound", false) });
  loud.addEventListener("change", () => {
    setPref("sound", loud.checked);
    if (loud.checked) sound("info");
  });
  const notes = h("input", { type: "checkbox", checked: pref("notify", false) });
  notes.addEventListener("change", async () => {
    const may = notes.checked && "Notification" in window ? await Notification.requestPermission() : "default";
    if (notes.checked && may !== "granted") {
      notes.checked = false;
      tell(t("alerts.notAllowed"), { severity: "warning" });
    }
    setPref("notify", notes.checked);
  });
  return h("div", { class: "row told" }, check(t("alerts.sound"), loud), check(t("alerts.notify"), notes));
}

/** @param {string} stream @param {Watch} watch @param {() => void} changed */
function watchHead(stream, watch, changed) {
  const { value, since_seconds: since, snoozed_until_seconds: until } = watch.state;
  const newest = store.streams.get(stream)?.newest_pts_seconds ?? 0;
  const isRaised = watch.kind === "alert" && since !== null;
  const actions = store.may("watch")
    ? [
        h("button", { "data-id": `snooze-${watch.id}`, class: "quiet only-icon", "aria-label": t("watch.snooze", { name: watch.name }), title: t("watch.snooze", { name: watch.name }), onclick: () => snoozeDialog(stream, watch, changed) }, icon("mute")),
        h("button", { "data-id": `turn-${watch.id}`, class: "quiet only-icon", "aria-label": t(watch.is_on ? "watch.turnOff" : "watch.turnOn", { name: watch.name }), title: t(watch.is_on ? "watch.turnOff" : "watch.turnOn", { name: watch.name }), onclick: () => void turn(stream, watch, changed) }, icon(watch.is_on ? "pause" : "play")),
        h("button", { "data-id": `edit-${watch.id}`, class: "quiet only-icon", "aria-label": t("watch.edit", { name: watch.name }), title: t("watch.edit", { name: watch.name }), onclick: () => void watchForm(stream, watch.id, changed) }, icon("edit")),
        h("button", { class: "quiet only-icon", "aria-label": t("watch.remove", { name: watch.name }), title: t("watch.remove", { name: watch.name }), onclick: () => removeDialog(stream, watch, changed) }, icon("trash")),
      ]
    : [];
  return h(
    "header",
    {},
    severityBadge(watch.severity ?? "warning"),
    h("h2", { class: "grow" }, watch.name),
    h("span", { class: "badge" }, t(`watch.kind.${watch.kind}`)),
    value === null && !isRaised ? null : h("span", { class: `badge ${isRaised ? (watch.severity ?? "warning") : ""}` }, isRaised ? t("watch.raised", { time: momentName(stream, since ?? 0) }) : value),
    until !== null && until > newest ? h("span", { class: "badge" }, icon("mute"), t("watch.snoozed")) : null,
    watch.is_on ? null : h("span", { class: "badge" }, icon("pause"), t("watch.off")),
    watch.region ? regionSign(watch.region, t("region.title")) : null,
    ...actions,
  );
}

/** @param {string} stream @param {Watch} watch @param {() => void} changed */
async function turn(stream, watch, changed) {
  try {
    await send("PATCH", watchPath(stream, watch), { is_on: !watch.is_on });
    changed();
  } catch (error) {
    tellError(error);
  }
}

/** @param {string} stream @param {Watch} watch */
function watchPath(stream, watch) {
  return streamPath(stream, `/watches/${watch.id}`);
}

/** @param {string} stream @param {Watch} watch @param {() => void} changed */
function snoozeDialog(stream, watch, changed) {
  const times = h("select", {}, ...[300, 900, 3600, 14_400, 86_400].map((one) => h("option", { value: one }, t(`snooze.${one}`))), h("option", { value: 0 }, t("snooze.0")));
  formDialog({
    title: t("watch.snooze", { name: watch.name }),
    content: [field(t("snooze.for"), times)],
    confirm: t("watch.mute"),
    work: async () => {
      await send("POST", `${watchPath(stream, watch)}/snooze`, { seconds: Number(times.value) });
      changed();
    },
  });
}

/** @param {string} stream @param {Watch} watch @param {() => void} changed */
function removeDialog(stream, watch, changed) {
  confirmDialog(t("watch.remove", { name: watch.name }), t("watch.removeText"), t("remove"), async () => {
    await send("DELETE", watchPath(stream, watch));
    changed();
  });
}

/**
 * @typedef {{wall: number, seconds: number | null, severity: "info" | "warning" | "alarm", title: string, text: string, picture: string | null, id: string | null, reviewed: boolean}} Alert
 */

/** @param {string} stream @returns {Promise<Alert[]>} */
async function alertsOf(stream) {
  if (store.offers("GET", "/v1/incidents")) {
    const found = await get("/v1/incidents", { stream, limit: NUM_ALERTS });
    return found.data.map((/** @type {Incident} */ one) => ({
      wall: Date.parse(one.started_at) / 1000,
      seconds: one.started_seconds,
      severity: one.severity,
      title: one.name || one.question,
      text: one.summary ?? "",
      picture: one.pictures?.[0]?.url ?? null,
      id: one.id,
      reviewed: one.reviewed,
    }));
  }
  const { data } = await get("/v1/events", { stream, kind: ["alert_raised", "state_changed", "count_rose", "described"], newest_first: true, limit: NUM_ALERTS });
  return data.map((/** @type {ServerEventBody} */ one) => ({
    wall: one.wall_seconds,
    seconds: one.pts_seconds,
    severity: one.payload["severity"] ?? "warning",
    title: one.payload["name"] ?? one.payload["question"] ?? one.kind,
    text: String(one.payload["value"] ?? ""),
    picture: one.picture_url,
    id: null,
    reviewed: false,
  }));
}

/** @param {string} stream @param {Alert} alert @param {() => void} changed */
function alertLine(stream, alert, changed) {
  const link = addressOf("timeline", stream, { at: alert.seconds ?? undefined });
  const review = async () => {
    try {
      await send("PATCH", `/v1/incidents/${encodeURIComponent(alert.id ?? "")}`, { reviewed: !alert.reviewed });
      changed();
    } catch (error) {
      tellError(error);
    }
  };
  return h(
    "li",
    { class: alert.reviewed ? "alert reviewed" : "alert" },
    h("a", { href: link, class: "alert-picture", tabindex: "-1", "aria-hidden": "true" }, picture(alert.picture)),
    h("div", { class: "grow" }, h("div", { class: "row" }, severityBadge(alert.severity), h("span", { class: "faint small" }, moment(alert.wall))), h("a", { class: "alert-name", href: link }, alert.title), alert.text ? h("p", { class: "small soft" }, alert.text) : null),
    alert.id ? h("button", { "data-id": alert.id, class: "quiet only-icon", "aria-pressed": String(alert.reviewed), "aria-label": t(alert.reviewed ? "incident.unreview" : "incident.review"), title: t(alert.reviewed ? "incident.unreview" : "incident.review"), onclick: review }, icon("good")) : null,
  );
}
