// What lies on a timeline: read once for the part that is seen, then told as it happens.

import { get, streamPath } from "../ground/api.js";
import { follow } from "../ground/sse.js";
import { store, wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration } from "../ground/time.js";

const PAGE = 1000;
const MAX_PAGES = 5;
const KINDS = ["gap", "source_state", "frames_dropped", "answered", "snapshot_saved", "stream_restored", "policy_changed"];
const ALERT_KINDS = ["alert_raised", "alert_cleared", "state_changed", "count_rose", "described"];
const MEMORY_SECONDS = 10;
const GAP_SECONDS = 10;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 8_000;

/**
 * @typedef {"incidents" | "answers" | "source" | "snapshots"} Lane
 * @typedef {object} Item
 * @property {string} id
 * @property {Lane} lane
 * @property {number} wall
 * @property {number} [until]
 * @property {number} rank worse is greater
 * @property {string} title
 * @property {string} [text]
 * @property {"info" | "warning" | "alarm"} severity
 * @property {string | null} [picture]
 * @property {Evidence[]} [evidence]
 * @property {Incident} [incident]
 * @property {number} [snapshot] its number
 */

export const RANKS = { info: 0, warning: 1, alarm: 2 };

export class TimelineItems {
  /** @param {string} stream @param {() => void} onChange */
  constructor(stream, onChange) {
    this._stream = stream;
    this._onChange = onChange;
    /** @type {Map<string, Item>} */
    this._items = new Map();
    /** @type {Map<number, string>} address of a picture by its moment on the wall: of what happened */
    this._pictures = new Map();
    /** @type {Map<number, string>} of what is remembered now; the others are gone */
    this._remembered = new Map();
    /** @type {Set<number | null>} where gaps begin that are recorded */
    this._gaps = new Set();
    this._loaded = { from: Infinity, until: -Infinity };
    this._isLoading = false;
    this._pauseMs = FIRST_PAUSE_MS;
    this._again = 0;
    this.hasIncidents = store.offers("GET", "/v1/incidents");
    this._ends = [store.on("event", (event) => this._happened(event)), this._followMemory()];
    void this._loadAnswers();
  }

  /** @returns {Item[]} in the order of time */
  get all() {
    return [...this._items.values()].sort((a, b) => a.wall - b.wall);
  }

  /** @returns {[number, string][]} moments and pictures, in the order of time */
  get pictures() {
    return [...new Map([...this._remembered, ...this._pictures])].sort((a, b) => a[0] - b[0]);
  }

  /** The picture next to a moment. @param {number} wall @returns {[number, string] | undefined} */
  pictureAt(wall) {
    /** @type {[number, string] | undefined} */
    let found;
    for (const one of [...this._remembered, ...this._pictures]) {
      if (!found || Math.abs(one[0] - wall) < Math.abs(found[0] - wall)) found = one;
    }
    return found;
  }

  /**
   * Read what lies in a part of the past, where that was not done yet; after a failure only some time later.
   *
   * @param {number} from
   * @param {number} until
   */
  async load(from, until) {
    if (this._isLoading || (from >= this._loaded.from && Math.min(until, store.now()) <= this._loaded.until)) return;
    this._isLoading = true;
    const margin = (until - from) / 2;
    const since = Math.min(from - margin, this._loaded.from);
    const before = Math.min(store.now() + 1, Math.max(until + margin, this._loaded.until));
    let pauseMs = 0;
    try {
      await Promise.all([this._loadEvents(since, before), this.hasIncidents ? this._loadIncidents(since, before) : null]);
      // what comes from now on is told
      this._loaded = { from: since, until: before >= store.now() ? Infinity : before };
      this._pauseMs = FIRST_PAUSE_MS;
    } catch {
      // the page says elsewhere that the server is away
      pauseMs = this._pauseMs;
      this._pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs);
    }
    this._again = window.setTimeout(() => {
      this._isLoading = false;
      this._onChange(); // asks for what is seen now
    }, pauseMs);
  }

  /** @param {number} since @param {number} until */
  async _loadEvents(since, until) {
    const status = store.streams.get(this._stream);
    const newest = wallOf(this._stream, status?.newest_pts_seconds);
    // a recording that is read faster than it was made has moments of which the wall knows nothing yet
    const times = newest !== undefined && newest > store.now() + 5 ? {} : { since, until };
    const kind = this.hasIncidents ? KINDS : [...KINDS, ...ALERT_KINDS];
    /** @type {number | undefined} */
    let after;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const query = { stream: this._stream, kind, limit: PAGE, newest_first: true, after, ...times };
      const found = await get("/v1/events", query);
      found.data.forEach((/** @type {ServerEventBody} */ event) => this._add(event));
      after = found.data.at(-1)?.id;
      if (!found.has_more) return;
    }
  }

  /** @param {number} from @param {number} to */
  async _loadIncidents(from, to) {
    const found = await get("/v1/incidents", { stream: this._stream, from, to, limit: 500 }).catch(() => ({ data: [] }));
    const listed = found.data ?? found.incidents ?? [];
    listed.forEach((/** @type {Incident} */ one) => this.addIncident(one));
  }

  /** @param {Incident} one */
  addIncident(one) {
    const wall = wallOf(this._stream, one.started_seconds);
    if (wall === undefined) return;
    const until = wallOf(this._stream, one.ended_seconds);
    this._items.set(`incident-${one.id}`, {
      id: `incident-${one.id}`,
      lane: "incidents",
      wall,
      ...(until === undefined ? {} : { until }),
      rank: RANKS[one.severity] ?? 1,
      severity: one.severity,
      title: one.name || one.question,
      text: one.summary ?? one.question,
      picture: one.pictures?.[0]?.url ?? null,
      incident: one,
    });
    for (const picture of one.pictures ?? []) this._addPicture(picture.stream_seconds, picture.url);
  }

  async _loadAnswers() {
    const { data } = await get("/v1/questions", { stream: this._stream, limit: 500 }).catch(() => ({ data: [] }));
    data.forEach((/** @type {QuestionRecord} */ one) => {
      const wall = wallOf(this._stream, one.pts_seconds);
      if (wall === undefined) return;
      const item = { lane: /** @type {Lane} */ ("answers"), severity: /** @type {"info"} */ ("info"), rank: 0 };
      this._items.set(`answer-${one.answer_id}`, { id: `answer-${one.answer_id}`, wall, title: one.question, text: one.answer, evidence: one.evidence, ...item });
      for (const seen of one.evidence) this._addPicture(seen.seconds, seen.picture_url);
    });
    this._onChange();
  }

  _followMemory() {
    return follow(streamPath(this._stream, `/memory?every_seconds=${MEMORY_SECONDS}`), {
      onEvent: ({ data }) => {
        const memory = JSON.parse(data);
        if (!memory.pictures) return;
        this._remembered.clear();
        memory.pictures.forEach((/** @type {{seconds: number, picture_url: string | null}} */ one) => this._addPicture(one.seconds, one.picture_url, this._remembered));
        this._onChange();
      },
    });
  }

  /** @param {number} seconds @param {string | null | undefined} url */
  _addPicture(seconds, url, pictures = this._pictures) {
    const wall = wallOf(this._stream, seconds);
    if (url && wall !== undefined) pictures.set(Math.round(wall * 100) / 100, url);
  }

  /** @param {ServerEventBody} event */
  _happened(event) {
    if (event.stream !== this._stream) return;
    if (event.kind === "answered") void this._loadAnswers();
    if (event.kind.startsWith("alert_") && this.hasIncidents && event.payload["incident"]) {
      get(`/v1/incidents/${encodeURIComponent(event.payload["incident"])}`).then((one) => {
        this.addIncident(one);
        this._onChange();
      }, () => undefined);
      return;
    }
    if ([...KINDS, ...ALERT_KINDS].includes(event.kind)) {
      this._add(event);
      this._onChange();
    }
  }

  /** @param {ServerEventBody} event */
  _add(event) {
    if (event.kind === "answered") return; // questions are read whole, with what they rest on
    const wall = wallOf(this._stream, event.pts_seconds) ?? event.wall_seconds;
    const item = itemOf(event, wall);
    if (!item) return;
    if (event.kind === "gap") {
      this._gaps.add(event.pts_seconds);
      this._items.delete(`gap-${event.pts_seconds}`);
    }
    if (event.kind === "stream_restored" && event.wall_seconds - wall > GAP_SECONDS && !this._gaps.has(event.pts_seconds)) {
      // the gap of a restart is recorded when its end is known: with the first frame
      const time = duration(event.wall_seconds - wall);
      const id = `gap-${event.pts_seconds}`;
      this._items.set(id, { ...item, id, lane: "source", until: event.wall_seconds, rank: 1, severity: "warning", title: t("item.gap", { time }) });
    }
    this._items.set(item.id, item);
    if (event.picture_url && event.pts_seconds !== null) this._addPicture(event.pts_seconds, event.picture_url);
  }

  end() {
    clearTimeout(this._again);
    this._onChange = () => undefined; // also for what is under way
    this._ends.forEach((end) => end());
  }
}

/** @param {ServerEventBody} event @param {number} wall @returns {Item | null} */
function itemOf(event, wall) {
  const { payload } = event;
  const base = { id: `event-${event.id}`, wall, picture: event.picture_url, severity: /** @type {"info" | "warning" | "alarm"} */ ("info"), rank: 0 };
  if (event.kind === "gap") {
    const seconds = payload["seconds"] ?? 0;
    return { ...base, lane: "source", until: wall + seconds, rank: 1, severity: "warning", title: t("item.gap", { time: duration(seconds) }) };
  }
  if (event.kind === "source_state") {
    const isBad = ["disconnected", "failed"].includes(payload["what"]);
    return { ...base, lane: "source", rank: isBad ? 1 : 0, severity: isBad ? "warning" : "info", title: t(`source.${payload["what"]}`), text: payload["reason"] };
  }
  if (event.kind === "frames_dropped") {
    const number = (payload["decode"] ?? 0) + (payload["ring"] ?? 0) + (payload["engine"] ?? 0);
    return { ...base, lane: "source", rank: 1, severity: "warning", title: t("item.dropped", { number }) };
  }
  if (event.kind === "snapshot_saved") return { ...base, lane: "snapshots", title: t("item.snapshot"), snapshot: payload["snapshot"] };
  if (event.kind === "stream_restored") return { ...base, lane: "snapshots", title: t("item.restored") };
  if (event.kind === "policy_changed") return { ...base, lane: "snapshots", title: t("item.policy") };
  if (ALERT_KINDS.includes(event.kind)) {
    const severity = event.kind === "alert_raised" ? (payload["severity"] ?? "warning") : "info";
    return { ...base, lane: "incidents", severity, rank: RANKS[/** @type {"info"} */ (severity)] ?? 0, title: t(`event.${event.kind}`), text: payload["name"] ?? payload["question"] ?? payload["value"] };
  }
  return null;
}
