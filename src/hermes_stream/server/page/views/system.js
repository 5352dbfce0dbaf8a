// The system: what runs here, how much fits, how quick it is; and how this page looks.

import { get, request } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { applyTheme, pref, setPref } from "../ground/prefs.js";
import { store } from "../ground/store.js";
import { setLanguage, t } from "../ground/texts.js";
import { duration, number, percent, size } from "../ground/time.js";
import { bar, figures } from "../parts/badges.js";
import { sparkline } from "../parts/chart.js";
import { segments } from "../parts/dialog.js";
import { head } from "../parts/shell.js";

const NUM_ANSWERS = 100;

/** @type {ViewShow} */
export function show(root) {
  const health = h("div", {});
  const capacity = h("div", {});
  const charts = h("div", { class: "charts" });
  const answers = h("div", { class: "charts" });
  const streams = h("div", { class: "scrolls", tabindex: "0", role: "group", "aria-label": t("system.streams") });
  root.append(
    head(t("nav.system"), []),
    h(
      "div",
      { class: "system-view" },
      section("system.now", health, charts),
      section("system.memory", capacity),
      section("system.answers", answers),
      section("system.streams", streams),
      section("system.about", about()),
      section("system.page", preferences()),
    ),
  );

  function draw() {
    const now = store.figures;
    if (!now) return;
    fill(health, healthLine(now), figures(queueOf(now)));
    fill(
      charts,
      sparkline(t("system.busy"), store.history.map((one) => one.busy_share), percent, 1),
      sparkline(t("system.frame"), store.history.map((one) => one.frame_seconds), duration),
      sparkline(t("system.lag"), store.history.map((one) => one.lag_seconds), duration, 1),
      sparkline(t("system.questions"), store.history.map((one) => one.num_open_questions), number, 4),
    );
    fill(capacity, memoryOf(now));
    fill(streams, tableOf(now));
  }

  async function drawAnswers() {
    const { data } = await get("/v1/questions", { limit: NUM_ANSWERS }).catch(() => ({ data: [] }));
    const timed = data.reverse().filter((/** @type {QuestionRecord} */ one) => one.ttft_seconds);
    if (!timed.length) return fill(answers, h("p", { class: "soft" }, t("system.noAnswers")));
    fill(
      answers,
      sparkline(t("answer.ttft"), timed.map((/** @type {QuestionRecord} */ one) => one.ttft_seconds ?? 0), duration),
      sparkline(t("answer.ttftPending"), timed.map((/** @type {QuestionRecord} */ one) => one.ttft_with_pending_seconds ?? 0), duration),
    );
  }

  draw();
  void drawAnswers();
  const ends = [store.on("figures", draw), store.on("event", (event) => event.kind === "answered" && void drawAnswers())];
  return () => ends.forEach((end) => end());
}

/** @param {string} title @param {...import("../ground/dom.js").Child} content */
function section(title, ...content) {
  return h("section", { class: "panel", "aria-label": t(title) }, h("header", {}, h("h2", {}, t(title))), h("div", { class: "inside fields" }, ...content));
}

/** @param {Figures} now */
function healthLine({ health }) {
  const isWell = health.is_live && health.is_ready;
  return h("p", { class: `badge ${isWell ? "good" : "alarm"}` }, icon(isWell ? "good" : "alarm"), isWell ? t("system.well") : health.reasons.join("; ") || t("system.unwell"));
}

/** @param {Figures} now @returns {[string, string][]} */
function queueOf({ capacity, health }) {
  return [
    [t("system.queue"), t("of", { number: number(capacity.num_open_questions), all: number(capacity.max_open_questions) })],
    [t("nav.streams"), t("of", { number: number(capacity.num_streams), all: number(capacity.max_streams) })],
    [t("system.writes"), number(health.num_waiting_writes)],
    [t("system.lost"), number(health.num_lost_events)],
    [t("system.failures"), number(health.num_engine_failures)],
  ];
}

/** @param {Figures} now */
function memoryOf({ capacity }) {
  const limit = capacity.memory_bytes;
  const words = limit ? t("system.used", { used: size(capacity.used_bytes), limit: size(limit) }) : size(capacity.used_bytes);
  return h(
    "div",
    { class: "fields" },
    h("p", {}, words),
    limit ? bar(capacity.used_bytes / limit, words) : null,
    h("p", { class: "soft" }, t("system.more", { number: number(capacity.more_streams), limit: capacity.limit })),
    capacity.stream_bytes ? h("p", { class: "soft small" }, t("system.each", { size: size(capacity.stream_bytes) })) : null,
  );
}

/** @param {Figures} now */
function tableOf({ streams, capacity }) {
  const limit = capacity.stream_bytes;
  if (!streams.length) return h("p", { class: "soft" }, t("no.stream"));
  const names = ["name", "figure.state", "figure.lag", "figure.fps", "figure.dropped", "system.cache", "figure.ttft"];
  const rows = streams.map((one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.name),
      h("td", {}, t(`state.${one.state}`)),
      h("td", {}, duration(one.lag_seconds)),
      h("td", {}, number(one.delivered_fps, 1)),
      h("td", {}, number(one.dropped.decode + one.dropped.ring + one.dropped.engine)),
      h("td", {}, one.memory ? h("span", { class: "of-limit" }, size(one.memory.cache_bytes), limit ? bar(one.memory.cache_bytes / limit, "") : null) : "–"),
      h("td", {}, one.memory?.ttft_seconds ? duration(one.memory.ttft_seconds) : "–"),
    ),
  );
  return h("table", {}, h("thead", {}, h("tr", {}, ...names.map((one) => h("th", { scope: "col" }, t(one))))), h("tbody", {}, ...rows));
}

function about() {
  const now = store.about;
  if (!now) return null;
  const { model } = now;
  return h(
    "div",
    { class: "fields" },
    figures([
      [t("system.model"), model.name],
      [t("system.family"), model.family],
      [t("system.device"), `${model.device} · ${model.dtype}`],
      [t("system.threads"), number(now.num_threads)],
      [t("system.layers"), number(model.num_layers)],
      ["hermes-stream", now.version],
      ...Object.entries(now.versions).map(([name, version]) => /** @type {[string, string]} */ ([name, version])),
    ]),
    model.knows ? h("p", { class: "soft" }, t("system.knows", { model: model.name, what: model.knows })) : null,
    h("p", { class: "soft small" }, [now.machine, now.device_name].filter(Boolean).join(" · ")),
    h("p", { class: "row" }, ...[["/docs", "system.docs"], ["/openapi.json", "system.openapi"], ["/metrics", "system.metrics"]].map(([href, text]) => h("a", { href, class: "button", target: "_blank", rel: "noopener" }, t(text ?? "")))),
  );
}

function preferences() {
  const theme = segments(t("page.theme"), [["auto", t("page.auto")], ["light", t("page.light")], ["dark", t("page.dark")]], pref("theme", "auto"), (value) => {
    setPref("theme", value);
    applyTheme();
  });
  const language = segments(t("page.language"), [["auto", t("page.auto")], ["en", "English"], ["de", "Deutsch"]], pref("language", "auto"), setLanguage);
  const line = (/** @type {string} */ name, /** @type {Element} */ control) => h("div", { class: "row" }, h("span", { class: "grow" }, name), control);
  const { who } = store;
  const signOut = async () => {
    await request("POST", "/v1/logout");
    location.reload();
  };
  return h(
    "div",
    { class: "fields" },
    line(t("page.theme"), theme.element),
    line(t("page.language"), language.element),
    h("p", { class: "soft" }, who.needs_keys ? t("page.key", { label: who.label ?? "", scopes: who.scopes.join(", ") }) : t("page.noKeys")),
    who.needs_keys ? h("p", {}, h("button", { onclick: signOut }, icon("out"), t("signout"))) : null,
  );
}
