// A stream's past, at any zoom from ten seconds to a week, under one cursor.

import { send } from "../ground/api.js";
import { fill, h, setText } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { tell, tellError } from "../ground/notices.js";
import { mayMove } from "../ground/prefs.js";
import { preview } from "../ground/preview.js";
import { addressOf, note } from "../ground/router.js";
import { store, wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, moment, streamTime } from "../ground/time.js";
import { empty } from "../parts/badges.js";
import { calendar } from "../parts/calendar.js";
import { segments } from "../parts/dialog.js";
import { head } from "../parts/shell.js";
import { itemDetail } from "../parts/timeline_detail.js";
import { pointers } from "../parts/timeline_pointing.js";
import { TimelineItems } from "../parts/timeline_items.js";
import { Lanes, signOf } from "../parts/timeline_lanes.js";
import { LONGEST, SHORTEST, TimeWindow } from "../parts/timeline_window.js";
import { toStreams } from "./stream.js";

const SPANS = [10, 60, 600, 3600, 21_600, 86_400, 604_800];
const SPEEDS = [1, 4, 16, 60];
const TICK_MS = 250;

/** @type {ViewShow} */
export function show(root, place) {
  const { stream } = place;
  if (!stream) {
    root.append(head(t("nav.timeline"), []), empty("timeline", t("no.stream"), toStreams()));
    return;
  }
  if (wallOf(stream, 0) === undefined) {
    root.append(head(t("nav.timeline"), []), empty("timeline", t("timeline.empty"), toStreams()));
    // the first frame gives the stream its clock
    return store.on("figures", () => wallOf(stream, 0) !== undefined && document.dispatchEvent(new CustomEvent("language")));
  }
  const view = new Timeline(stream, root);
  view.goTo(place);
  const onPlace = (/** @type {any} */ event) => view.goTo(event.detail);
  document.addEventListener("place", onPlace);
  return () => {
    document.removeEventListener("place", onPlace);
    view.end();
  };
}

class Timeline {
  /** @param {string} stream @param {HTMLElement} root */
  constructor(stream, root) {
    this._stream = stream;
    this._zero = /** @type {number} */ (wallOf(stream, 0));
    // a young stream is shown whole
    this._window = new TimeWindow(this._newest(), Math.min(600, Math.max(60, 1.6 * (this._newest() - this._zero))));
    this._items = new TimelineItems(stream, () => this.draw());
    this._lanes = new Lanes({ onChoose: (group) => this._choose(group), onPoint: (wall) => this._stand(wall) });
    this._live = preview(stream, { fps: 2 });
    /** @type {import("../parts/timeline_items.js").Item | null} */
    this._chosen = null;
    this._shownPicture = "";
    this._when = h("figcaption", { class: "small" });
    this._still = h("img", { alt: "", hidden: true });
    this._noPicture = h("p", { class: "soft", hidden: true }, t("timeline.noPicture"));
    this._detail = h("section", { class: "panel detail", "aria-label": t("timeline.detail") });
    this._hover = h("div", { class: "hover", hidden: true, "aria-hidden": "true" });
    this._mode = segments(t("timeline.cursor"), [["follow", t("timeline.follow")], ["play", t("timeline.play")], ["stand", t("timeline.stand")]], "follow", (mode) => this._setMode(mode));
    this._slider = this._lanes.slider;
    this._axis = h("div", { class: "axis" }, this._lanes.element, this._hover);
    this._spanWords = h("output", { class: "small soft", "aria-live": "off" });
    root.append(...this._layout());
    this._axis.addEventListener("keydown", (event) => this._key(event));
    this._endPointers = pointers(this._axis, this._window, {
      onPan: () => this._setMode("stand"),
      onStand: (wall) => this._stand(wall),
      onChange: () => this.draw(),
      onHover: (share) => this._drawHover(share),
    });
    this._sizes = new ResizeObserver(() => this.draw());
    this._sizes.observe(this._axis);
    this._told = performance.now();
    this._timer = window.setInterval(() => this._pass(), TICK_MS);
  }

  _layout() {
    const speed = h("select", { "aria-label": t("timeline.speed"), onchange: () => (this._window.speed = Number(speed.value)) }, ...SPEEDS.map((one) => h("option", { value: one }, `${one}×`)));
    const span = h("select", { "aria-label": t("timeline.span"), onchange: () => this._zoomTo(Number(span.value)) }, ...SPANS.map((one) => h("option", { value: one }, duration(one))));
    this._span = span;
    const days = calendar({ from: this._zero, until: this._newest(), chosen: () => this._window.at, onChoose: (wall) => this._stand(wall) });
    const link = h("button", { class: "only-icon", "aria-label": t("timeline.link"), title: t("timeline.link"), onclick: () => this._copy() }, icon("link"));
    const zooms = [
      h("button", { class: "only-icon", "aria-label": t("timeline.zoomOut"), onclick: () => this._zoom(2) }, icon("zoomOut")),
      span,
      h("button", { class: "only-icon", "aria-label": t("timeline.zoomIn"), onclick: () => this._zoom(0.5) }, icon("zoomIn")),
    ];
    return [
      head(t("nav.timeline"), [h("span", { class: "soft" }, this._stream)], this._mode.element, speed, days, link),
      h(
        "div",
        { class: "timeline-view" },
        h("figure", { class: "stage" }, this._live.canvas, this._still, this._noPicture, this._when),
        h(
          "section",
          { class: "panel timeline", "aria-label": t("nav.timeline") },
          h("header", {}, h("span", { class: "grow row" }, this._spanWords), h("div", { class: "zooms" }, ...zooms)),
          h("div", { class: "timeline-body" }, this._lanes.names, this._axis),
          h("p", { id: "timeline-keys", class: "small faint keys" }, t("timeline.keys")),
        ),
        this._detail,
      ),
    ];
  }

  _newest() {
    const status = store.streams.get(this._stream);
    const newest = this._zero + (status?.newest_pts_seconds ?? 0);
    return status?.state === "live" || status?.state === "reconnecting" ? Math.max(newest, store.now()) : newest;
  }

  /** @param {Place} place */
  goTo({ query }) {
    const at = Number.parseFloat(query.get("at") ?? "");
    const span = Number.parseFloat(query.get("span") ?? "");
    if (Number.isFinite(span)) this._window.span = Math.min(LONGEST, Math.max(SHORTEST, span));
    if (Number.isFinite(at)) {
      this._window.center = this._zero + at;
      this._stand(this._zero + at);
    } else this._setMode("follow");
    void this._items.load(this._window.from, this._window.until);
  }

  /** @param {import("../parts/timeline_window.js").Mode} mode */
  _setMode(mode) {
    this._window.mode = mode;
    this._mode.show(mode);
    if (mode === "follow") this._window.pass(0, this._newest());
    this.draw();
  }

  /** @param {number} wall */
  _stand(wall) {
    this._window.moveTo(Math.min(this._newest(), Math.max(this._zero, wall)));
    this._setMode("stand");
    this._note();
  }

  _note() {
    const at = Math.round((this._window.at - this._zero) * 100) / 100;
    note(addressOf("timeline", this._stream, { at, span: Math.round(this._window.span) }));
  }

  _pass() {
    const now = performance.now();
    const seconds = (now - this._told) / 1000;
    this._told = now;
    if (this._window.mode === "stand" || document.hidden) return;
    if (this._window.mode === "follow" && !mayMove() && seconds < 1) {
      // without motion the window jumps now and then instead of gliding
      if (this._window.shareOf(this._newest()) < 0.98) return;
    }
    const before = this._window.mode;
    this._window.pass(seconds, this._newest());
    if (this._window.mode !== before) this._mode.show(this._window.mode);
    this.draw();
  }

  /** @param {number} factor */
  _zoom(factor) {
    this._window.zoom(factor);
    this.draw();
  }

  /** @param {number} span */
  _zoomTo(span) {
    this._zoom(span / this._window.span);
  }

  /** @param {import("../parts/timeline_items.js").Item[]} group */
  _choose(group) {
    const first = /** @type {import("../parts/timeline_items.js").Item} */ (group[0]);
    const last = /** @type {import("../parts/timeline_items.js").Item} */ (group.at(-1));
    if (group.length > 1 && last.wall - first.wall > 0.5 && this._window.span > SHORTEST * 2) {
      this._window.center = (first.wall + last.wall) / 2;
      this._window.span = Math.max(SHORTEST, (last.wall - first.wall) * 1.6);
    }
    this._chosen = first;
    this._stand(first.wall);
  }

  /** @param {number} by */
  _step(by) {
    const items = this._items.all;
    const found = by > 0 ? items.find((one) => one.wall > this._window.at + 0.05) : items.findLast((one) => one.wall < this._window.at - 0.05);
    if (found) this._choose([found]);
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    if (event.target !== this._slider && !["n", "p", "+", "-"].includes(event.key)) return;
    const step = this._window.span / (event.shiftKey ? 10 : 50);
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this._stand(this._window.at - step),
      ArrowRight: () => this._stand(this._window.at + step),
      PageDown: () => this._stand(this._window.at - this._window.span / 2),
      PageUp: () => this._stand(this._window.at + this._window.span / 2),
      Home: () => this._stand(this._zero),
      End: () => this._setMode("follow"),
      " ": () => this._setMode(this._window.mode === "stand" ? "play" : "stand"),
      "+": () => this._zoom(0.5),
      "-": () => this._zoom(2),
      n: () => this._step(1),
      p: () => this._step(-1),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {number | null} share */
  _drawHover(share) {
    this._hover.hidden = share === null;
    if (share === null) return;
    const wall = this._window.wallAt(share);
    const found = this._items.pictureAt(wall);
    const isNear = found && Math.abs(found[0] - wall) < Math.max(5, this._window.span / 20);
    const width = this._lanes.width;
    this._hover.style.setProperty("--at", `${Math.min(width - 90, Math.max(90, share * width))}px`);
    fill(this._hover, isNear ? h("img", { src: found[1], alt: "" }) : null, h("span", {}, moment(wall)));
  }

  draw() {
    const { _window: seen } = this;
    void this._items.load(seen.from, seen.until);
    const newest = this._newest();
    this._lanes.draw(seen, this._items.all, this._items.pictures, newest, this._chosen?.id ?? null);
    this._drawStage(newest);
    setText(this._spanWords, t("timeline.seen", { span: duration(seen.span), from: moment(seen.from), until: moment(seen.until) }));
    if (this._span) {
      const near = SPANS.find((one) => Math.abs(one - seen.span) < one * 0.02);
      if (this._span.options.length > SPANS.length) this._span.options[SPANS.length]?.remove();
      if (!near) this._span.append(h("option", { value: seen.span }, duration(seen.span)));
      this._span.value = String(near ?? seen.span);
    }
    const at = Math.round(seen.at - this._zero);
    this._slider.setAttribute("aria-valuemin", "0");
    this._slider.setAttribute("aria-valuemax", String(Math.max(0, Math.round(newest - this._zero))));
    this._slider.setAttribute("aria-valuenow", String(at));
    this._slider.setAttribute("aria-valuetext", moment(seen.at));
    const detail = this._chosen ? `${this._chosen.id}${this._chosen.incident?.reviewed}` : "";
    if (this._detail.dataset["shown"] === detail && detail) return;
    this._detail.dataset["shown"] = detail;
    fill(this._detail, this._chosen ? itemDetail(this._stream, this._chosen, (one) => void this._review(one)) : this._nearby());
  }

  /** The picture at the cursor: live where it follows, else the nearest that is kept. @param {number} newest */
  _drawStage(newest) {
    const { at, mode } = this._window;
    const isLive = mode === "follow";
    const found = isLive ? undefined : this._items.pictureAt(at);
    this._live.canvas.hidden = !isLive;
    this._still.hidden = isLive || !found;
    this._noPicture.hidden = isLive || Boolean(found);
    if (found && found[1] !== this._shownPicture) {
      this._shownPicture = found[1];
      this._still.src = found[1];
      this._still.alt = t("timeline.pictureOf", { time: moment(found[0]) });
    }
    const apart = found ? Math.abs(found[0] - at) : 0;
    const words = isLive ? t("timeline.live", { time: moment(newest) }) : `${moment(at)} · ${streamTime(at - this._zero)}`;
    setText(this._when, apart > 1.5 ? `${words} · ${t("timeline.apart", { time: duration(apart) })}` : words);
  }

  _nearby() {
    const latest = this._items.all.slice(-6).reverse();
    if (!latest.length) return h("div", { class: "inside soft" }, t("timeline.nothing"));
    return h(
      "div",
      { class: "inside" },
      h("h2", {}, t("timeline.latest")),
      h("ul", { class: "nearby" }, ...latest.map((one) => h("li", {}, h("button", { class: "quiet", onclick: () => this._choose([one]) }, h("span", { class: one.severity }, icon(signOf(one))), h("span", { class: "faint small" }, moment(one.wall)), h("span", { class: "grow" }, one.title))))),
    );
  }

  /** @param {import("../parts/timeline_items.js").Item} item */
  async _review(item) {
    if (!item.incident) return;
    const reviewed = !item.incident.reviewed;
    try {
      await send("PATCH", `/v1/incidents/${encodeURIComponent(item.incident.id)}`, { reviewed });
      this._items.addIncident({ ...item.incident, reviewed });
      this._chosen = this._items.all.find((one) => one.id === item.id) ?? null;
      this.draw();
    } catch (error) {
      tellError(error);
    }
  }

  _copy() {
    this._note();
    navigator.clipboard.writeText(location.href).then(
      () => tell(t("timeline.copied")),
      () => tell(location.href),
    );
  }

  end() {
    clearInterval(this._timer);
    this._items.end();
    this._live.end();
    this._endPointers();
    this._sizes.disconnect();
  }
}
