// What the page knows of the server, told as it changes: events of the record, and figures.

import { get } from "./api.js";
import { pref } from "./prefs.js";
import { follow } from "./sse.js";

const HISTORY = 240;
const HIDDEN_MS = 20_000;

/**
 * @typedef {"streams" | "figures" | "event" | "connection" | "sending" | "signed-out" | "incidents"} Topic
 */

/** @typedef {{busy_share: number, frame_seconds: number, lag_seconds: number, num_open_questions: number}} Sample */

/** What the server offers and how it is, with listeners by topic. */
class Store {
  constructor() {
    /** @type {Who} */
    this.who = { needs_keys: false, label: null, key: null, scopes: [] };
    /** @type {About | null} */
    this.about = null;
    /** @type {Map<string, StreamStatus>} */
    this.streams = new Map();
    /** @type {Figures | null} */
    this.figures = null;
    /** @type {Sample[]} what charts show, and no more: figures of many streams are large */
    this.history = [];
    /** @type {Map<string, ServerEventBody>} alerts that are raised and not cleared, by incident */
    this.raised = new Map();
    this.isConnected = true;
    this.clockOffset = 0;
    /** @type {Set<string>} */
    this._offers = new Set();
    /** @type {Map<Topic, Set<(value: any) => void>>} */
    this._listeners = new Map();
    /** @type {(() => void) | null} */
    this._endEvents = null;
    /** @type {(() => void) | null} */
    this._endFigures = null;
    this._hiddenTimer = 0;
    /** @type {number} newest event, from which a tab that slept goes on */
    this._newest = 0;
  }

  /** Seconds since 1970, by the server's clock. */
  now() {
    return Date.now() / 1000 + this.clockOffset;
  }

  /** @param {"read" | "ask" | "watch" | "admin"} scope */
  may(scope) {
    return this.who.scopes.includes(scope) || this.who.scopes.includes("admin");
  }

  /** Whether this key may close a stream: one that it opened, or any with the scope for that. @param {string} name */
  mayClose(name) {
    const owner = this.streams.get(name)?.owner ?? null;
    return this.may("admin") || (this.may("ask") && owner !== null && owner === this.who.key);
  }

  /** Whether the server has a route. @param {string} method @param {string} path as the API's document writes it */
  offers(method, path) {
    return this._offers.has(`${method} ${path}`);
  }

  /**
   * @param {Topic} topic
   * @param {(value: any) => void} listener
   * @returns {() => void} ends it
   */
  on(topic, listener) {
    const set = this._listeners.get(topic) ?? new Set();
    this._listeners.set(topic, set.add(listener));
    return () => set.delete(listener);
  }

  /** @param {Topic} topic @param {unknown} [value] */
  tell(topic, value) {
    for (const listener of [...(this._listeners.get(topic) ?? [])]) listener(value);
  }

  /** Learn who we are and what there is; then follow. */
  async begin() {
    const [who, document_] = await Promise.all([get("/v1/whoami"), get("/openapi.json")]);
    this.who = who;
    for (const [path, methods] of Object.entries(document_.paths)) {
      const plain = path.replaceAll(/\{[^}]+\}/g, "{}");
      for (const method of Object.keys(methods)) this._offers.add(`${method.toUpperCase()} ${plain}`);
    }
    const [about, figures] = await Promise.all([get("/v1/about"), get("/v1/figures")]);
    this.about = about;
    this._take(figures);
    await this._takeIncidents();
    this._followEvents();
    this._followFigures();
    document.addEventListener("visibilitychange", () => this._seen());
  }

  /** Learn which alerts are raised already; later ones are told. */
  async _takeIncidents() {
    if (!this.offers("GET", "/v1/incidents")) return;
    const { data } = await get("/v1/incidents", { status: "open", limit: 200 }).catch(() => ({ data: [] }));
    for (const one of data) {
      const { id, name, question, severity } = one;
      const payload = { incident: id, name, question, severity };
      const event = { id: 0, kind: "alert_raised", stream: one.stream, pts_seconds: one.started_seconds, wall_seconds: 0, payload, picture_url: null };
      this.raised.set(id, event);
    }
  }

  /** A hidden tab asks for no figures; and for no events either, unless it is to raise its voice. */
  _seen() {
    clearTimeout(this._hiddenTimer);
    if (!document.hidden) {
      this._followFigures();
      this._followEvents();
      return;
    }
    this._endFigures?.();
    this._endFigures = null;
    if (pref("notify", false) || pref("sound", false)) return;
    this._hiddenTimer = window.setTimeout(() => {
      this._endEvents?.();
      this._endEvents = null;
    }, HIDDEN_MS);
  }

  _followFigures() {
    this._endFigures ??= follow("/v1/figures?every_seconds=1", {
      onEvent: ({ data }) => this._take(JSON.parse(data)),
      onState: (isOpen) => this._connected(isOpen),
      onRefused: (error) => this._refused(error.status),
    });
  }

  _followEvents() {
    const path = this._newest ? `/v1/events?after=${this._newest}` : "/v1/events";
    this._endEvents ??= follow(path, {
      onEvent: ({ data }) => this._happened(JSON.parse(data)),
      onId: (id) => (this._newest = Number(id)),
      onRefused: (error) => this._refused(error.status),
    });
  }

  /** @param {number} status */
  _refused(status) {
    if (status === 401) this.tell("signed-out");
    return false;
  }

  /** @param {boolean} isOpen */
  _connected(isOpen) {
    if (isOpen === this.isConnected) return;
    this.isConnected = isOpen;
    this.tell("connection", isOpen);
  }

  /** @param {Figures} figures */
  _take(figures) {
    this.clockOffset = figures.wall_seconds - Date.now() / 1000;
    const names = figures.streams.map((one) => one.name).join("\n");
    const before = [...this.streams.keys()].join("\n");
    this.streams = new Map(figures.streams.map((one) => [one.name, one]));
    this.figures = figures;
    this.history.push(sampleOf(figures));
    if (this.history.length > HISTORY) this.history.shift();
    if (names !== before) this.tell("streams");
    this.tell("figures", figures);
  }

  /** @param {ServerEventBody} event */
  _happened(event) {
    const incident = event.payload["incident"];
    if (event.kind === "alert_raised" && incident) this.raised.set(incident, event);
    if (event.kind === "alert_cleared" && incident) this.raised.delete(incident);
    this.tell("event", event);
    if (event.kind.startsWith("alert_")) this.tell("incidents");
  }

  /** Ask for figures now: something was changed here. */
  async refresh() {
    this._take(await get("/v1/figures"));
  }
}

/** @param {Figures} figures @returns {Sample} */
function sampleOf({ capacity, streams }) {
  return {
    busy_share: capacity.busy_share,
    frame_seconds: capacity.frame_seconds ?? 0,
    lag_seconds: Math.max(0, ...streams.map((one) => one.lag_seconds)),
    num_open_questions: capacity.num_open_questions,
  };
}

export const store = new Store();

/**
 * Say when a moment of a stream was on the wall; undefined before its first frame.
 *
 * @param {string} name
 * @param {number | null | undefined} seconds
 */
export function wallOf(name, seconds) {
  const zero = store.streams.get(name)?.zero_wall_seconds;
  return zero === null || zero === undefined || seconds === null || seconds === undefined ? undefined : zero + seconds;
}
