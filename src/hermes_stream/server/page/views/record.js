// The record: what happened, found by words, stream, kind and time; taken away as JSON or CSV.

import { get, request, streamPath } from "../ground/api.js";
import { fill, h, setText } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { showError, tell, tellError } from "../ground/notices.js";
import { addressOf } from "../ground/router.js";
import { store, wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { moment, number } from "../ground/time.js";
import { empty } from "../parts/badges.js";
import { field } from "../parts/dialog.js";
import { asCsv, asJson, saveFile } from "../parts/download.js";
import { eventSign, eventWords } from "../parts/event_words.js";
import { restoreButton } from "../parts/restoring.js";
import { SearchResults } from "../parts/search.js";
import { head } from "../parts/shell.js";
import { picture } from "../parts/thumbs.js";
import { VirtualList } from "../parts/virtual_list.js";

const PAGE = 500;
const ROW = 48;
const SAVED_PAGE = 1000;
const MOST_SAVED = 100_000;
/** @type {{[group: string]: string[]}} */
const GROUPS = {
  alerts: ["alert_raised", "alert_cleared", "state_changed", "count_rose", "described", "watch_failed"],
  answers: ["answered"],
  source: ["source_state", "gap", "frames_dropped"],
  streams: ["stream_opened", "stream_closed", "stream_deleted", "stream_renamed", "stream_restored", "policy_changed"],
  service: ["service_started", "service_stopped", "engine_failed", "snapshot_saved", "snapshot_failed", "retention"],
};

/** @type {ViewShow} */
export function show(root, place) {
  const view = new Record(root, place);
  return () => view.end();
}

class Record {
  /** @param {HTMLElement} root @param {Place} place */
  constructor(root, { query }) {
    /** @type {ServerEventBody[]} newest first */
    this._events = [];
    this._hasMore = true;
    this._isLoading = false;
    this._number = 0;
    this._stream = h("select", {}, h("option", { value: "" }, t("record.allStreams")), ...[...store.streams.keys()].map((one) => h("option", { value: one }, one)));
    this._kind = h("select", {}, h("option", { value: "" }, t("record.allKinds")), ...Object.keys(GROUPS).map((one) => h("option", { value: one }, t(`record.kind.${one}`))));
    this._from = h("input", { type: "datetime-local" });
    this._until = h("input", { type: "datetime-local" });
    this._words = h("input", { type: "search", autocomplete: "off", placeholder: t("search.how"), value: query.get("q") ?? "" });
    this._asked = query.get("stream") ?? "";
    this._stream.value = this._asked;
    this._count = h("span", { class: "soft" });
    this._detail = h("section", { class: "panel event-detail", "aria-label": t("record.detail"), hidden: true });
    this._list = new VirtualList({ rowHeight: ROW, label: t("record.list"), rowOf: (index) => this._row(index), onEnd: () => void this._more() });
    this._found = new SearchResults();
    this._problem = h("div", {});
    for (const one of [this._stream, this._kind, this._from, this._until]) one.addEventListener("change", () => void this.load());
    const search = store.offers("GET", "/v1/search")
      ? h("form", { class: "row grow search-form", role: "search", onsubmit: (/** @type {Event} */ event) => this._search(event) }, h("label", { class: "grow" }, h("span", { class: "hidden-text" }, t("search")), this._words), h("button", { class: "primary" }, icon("search"), t("search")))
      : null;
    root.append(
      head(t("nav.record"), [this._count], this._save("json"), this._save("csv"), this._report()),
      search ?? "",
      h("div", { class: "filters fields" }, field(t("stream"), this._stream), field(t("record.kind"), this._kind), field(t("record.from"), this._from), field(t("record.until"), this._until)),
      this._problem,
      this._found.element,
      h("div", { class: "record-view" }, h("section", { class: "panel", "aria-label": t("record.list") }, this._list.element), this._detail),
    );
    void this._nameClosed();
    this._off = store.on("event", (event) => this._happened(event));
    void this.load();
    if (search && this._words.value) void this._found.search(this._query(), this._words.value);
  }

  /** Streams that are closed have a past, too. */
  async _nameClosed() {
    const { data } = await get("/v1/streams", { closed: true }).catch(() => ({ data: [] }));
    const listed = new Set([...this._stream.options].map((one) => one.value));
    const closed = data.filter((/** @type {StreamStatus} */ one) => !listed.has(one.name));
    this._stream.append(...closed.map((/** @type {StreamStatus} */ one) => h("option", { value: one.name }, t("record.closed", { name: one.name }))));
    if (listed.has(this._asked)) return;
    this._stream.value = this._asked;
    void this.load();
  }

  _query() {
    const wall = (/** @type {HTMLInputElement} */ input) => (input.value ? new Date(input.value).getTime() / 1000 : undefined);
    return { stream: this._stream.value, from: wall(this._from), to: wall(this._until) };
  }

  /** What is filtered for, as the list of events takes it. */
  _wanted() {
    const { stream, from, to } = this._query();
    return { stream, kind: GROUPS[this._kind.value] ?? [], since: from, until: to };
  }

  /** @param {Event} event */
  _search(event) {
    event.preventDefault();
    void this._found.search(this._query(), this._words.value.trim());
  }

  async load() {
    this._events = [];
    this._hasMore = true;
    this._number += 1;
    this._isLoading = false;
    this._list.element.scrollTop = 0;
    await this._more();
  }

  /** @param {number} [limit] */
  async _more(limit = PAGE) {
    if (this._isLoading || !this._hasMore) return;
    this._isLoading = true;
    const turn = this._number;
    const after = this._events.at(-1)?.id;
    try {
      const page = await get("/v1/events", { ...this._wanted(), limit, newest_first: true, after });
      if (turn !== this._number) return;
      this._events.push(...page.data);
      this._hasMore = page.has_more;
      fill(this._problem);
    } catch (error) {
      this._hasMore = false;
      showError(this._problem, error);
    }
    this._isLoading = false;
    this._draw();
  }

  _draw() {
    setText(this._count, t(this._hasMore ? "record.countMore" : "record.count", { number: number(this._events.length) }));
    this._list.setCount(this._events.length);
    if (!this._events.length && !this._hasMore) fill(this._problem, empty("record", t("record.empty")));
  }

  /** @param {ServerEventBody} event */
  _happened(event) {
    const { stream, from, to } = this._query();
    const kinds = GROUPS[this._kind.value];
    if (from !== undefined || to !== undefined) return;
    if ((stream && event.stream !== stream) || (kinds && !kinds.includes(event.kind))) return;
    this._events.unshift(event);
    if (this._list.element.scrollTop > ROW) this._list.element.scrollTop += ROW; // what is read stays where it is
    fill(this._problem);
    this._draw();
  }

  /** @param {number} index */
  _row(index) {
    const event = /** @type {ServerEventBody} */ (this._events[index]);
    const [sign, severity] = eventSign(event);
    return h(
      "li",
      { class: "event" },
      h(
        "button",
        { class: "quiet", onclick: () => this._open(event) },
        h("span", { class: `event-sign ${severity}` }, icon(sign)),
        h("span", { class: "event-time" }, moment(wallOf(event.stream ?? "", event.pts_seconds) ?? event.wall_seconds)),
        h("span", { class: "event-stream" }, event.stream ?? ""),
        h("span", { class: "grow event-words" }, eventWords(event)),
      ),
    );
  }

  /** @param {ServerEventBody} event */
  _open(event) {
    this._detail.hidden = false;
    const at = event.pts_seconds;
    fill(
      this._detail,
      h("header", {}, h("h2", { class: "grow" }, eventWords(event)), h("button", { class: "quiet only-icon", "aria-label": t("close"), onclick: () => (this._detail.hidden = true) }, icon("close"))),
      h(
        "div",
        { class: "inside fields" },
        h("p", { class: "soft small" }, [event.stream, moment(event.wall_seconds), `#${event.id}`].filter(Boolean).join(" · ")),
        event.picture_url ? h("div", { class: "detail-picture" }, picture(event.picture_url, eventWords(event))) : null,
        event.stream && event.kind === "snapshot_saved" ? restoreButton(event.stream, event.payload["snapshot"], moment(event.wall_seconds)) : null,
        event.stream && at !== null ? h("div", { class: "row" }, h("a", { class: "button", href: addressOf("timeline", event.stream, { at }) }, icon("timeline"), t("record.toTimeline")), this._clip(event.stream, at)) : null,
        h("table", {}, h("tbody", {}, ...Object.entries(event.payload).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value)))))),
      ),
    );
  }

  /** @param {string} stream @param {number} at */
  _clip(stream, at) {
    if (!store.offers("GET", "/v1/streams/{}/clip")) return null;
    const save = async () => {
      try {
        const response = await request("GET", streamPath(stream, "/clip"), { query: { from: Math.max(0, at - 10), to: at + 10 } });
        saveFile(`${stream}-${Math.round(at)}.mp4`, await response.blob());
      } catch (error) {
        tellError(error);
      }
    };
    return h("button", { onclick: save }, icon("save"), t("record.clip"));
  }

  /** Everything that was filtered for, not only what was scrolled to. @param {"json" | "csv"} kind */
  _save(kind) {
    const button = h("button", { title: t("record.save", { kind: kind.toUpperCase() }) }, icon("save"), kind.toUpperCase());
    button.addEventListener("click", async () => {
      button.disabled = true;
      const events = [...this._events];
      let hasMore = this._hasMore;
      try {
        while (hasMore && events.length < MOST_SAVED) {
          const page = await get("/v1/events", { ...this._wanted(), limit: SAVED_PAGE, newest_first: true, after: events.at(-1)?.id });
          events.push(...page.data);
          hasMore = page.has_more && page.data.length > 0;
        }
        const name = `hermes-${new Date().toISOString().slice(0, 16).replaceAll(":", "")}.${kind}`;
        saveFile(name, kind === "json" ? asJson(events) : asCsv(events));
        if (hasMore) tell(t("record.savedPart", { number: number(events.length) }), { severity: "warning" });
      } catch (error) {
        tellError(error);
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }

  _report() {
    if (!store.offers("POST", "/v1/reports")) return null;
    const make = async () => {
      const { stream, from, to } = this._query();
      const now = store.now();
      const json = { from: from ?? now - 86_400, to: to ?? now, format: "html", ...(stream ? { streams: [stream] } : {}) };
      try {
        const response = await request("POST", "/v1/reports", { json });
        saveFile(`hermes-report.html`, await response.blob());
      } catch (error) {
        tellError(error);
      }
    };
    return h("button", { onclick: make, title: t("report.how") }, icon("file"), t("report"));
  }

  end() {
    this._off();
    this._list.end();
  }
}
