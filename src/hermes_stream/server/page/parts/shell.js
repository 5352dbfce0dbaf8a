// The frame around every view: where one can go, which stream is meant, what this browser sends.

import { fill, h, setText } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { pref, setPref } from "../ground/prefs.js";
import { sendings } from "../ground/pushing.js";
import { addressOf, go } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";

/** @type {[string, import("../ground/icons.js").IconName][]} */
const OF_STREAM = [
  ["stream", "live"],
  ["timeline", "timeline"],
  ["memory", "memory"],
  ["watches", "watches"],
];

export class Shell {
  constructor() {
    this.main = h("main", { class: "main", id: "main" });
    this._rail = h("nav", { class: "rail", "aria-label": t("nav.title") });
    this._lost = h("div", { class: "lost", role: "status", hidden: true }, icon("warning"), h("span", {}));
    this._skipLink = h("a", { class: "skip", href: "#main", onclick: (/** @type {Event} */ event) => this._skip(event) });
    this._sending = h("div", { class: "rail-sending" });
    this._count = h("span", { class: "count", hidden: true });
    this._picker = h("select", { onchange: () => go(addressOf(this._ofStream(), this._picker.value)) });
    /** @type {Map<string, HTMLAnchorElement>} links stay the same elements: one that is pressed or focused is not taken away */
    this._links = new Map();
    this._mainPlaces = h("div", { class: "main-places" }, this._link("streams", "streams"), ...OF_STREAM.map(([view, sign]) => this._link(view, sign)));
    this._morePlaces = h("div", { class: "more-places" }, this._link("record", "record"), this._link("system", "system"));
    this._pickerName = h("span", { class: "hidden-text" });
    this._pickerField = h("label", { class: "picker" }, this._pickerName, this._picker);
    const brand = h("p", { class: "brand" }, h("img", { src: iconUrl(), alt: "" }), h("span", {}, "hermes-stream"));
    fill(this._rail, brand, this._pickerField, this._mainPlaces, this._morePlaces, h("div", { class: "rail-end" }, this._sending));
    this._view = "streams";
    /** @type {string | null} */
    this._stream = pref("stream", null);
    this.element = h(
      "div",
      {},
      this._skipLink,
      h("div", { class: "shell" }, this._rail, h("div", {}, this._lost, this.main)),
    );
    store.on("connection", (isOpen) => (this._lost.hidden = isOpen));
    store.on("streams", () => this.draw());
    store.on("sending", () => this._drawSending());
    store.on("incidents", () => this._drawCount());
    document.addEventListener("wall", () => this._drawWall());
    document.addEventListener("fullscreenchange", () => {
      if (!document.fullscreenElement) delete document.documentElement.dataset["wall"];
    });
    this.draw();
  }

  /** Make room for a view. @param {string} view @param {string | null} stream */
  open(view, stream) {
    this._view = view;
    if (stream) {
      this._stream = stream;
      setPref("stream", stream);
    }
    this.draw();
    fill(this.main);
    return this.main;
  }

  draw() {
    const names = [...store.streams.keys()];
    const isKnown = this._stream !== null && names.includes(this._stream);
    const stream = isKnown ? this._stream : this._view === "streams" || !this._stream ? (names[0] ?? null) : this._stream;
    fill(this._picker, ...names.map((name) => h("option", { value: name }, name)));
    if (stream && !names.includes(stream)) this._picker.append(h("option", { value: stream }, stream));
    this._picker.value = stream ?? "";
    this._picker.disabled = names.length < 2;
    this._rail.setAttribute("aria-label", t("nav.title"));
    setText(this._pickerName, t("stream"));
    setText(this._skipLink, t("skip"));
    setText(/** @type {Element} */ (this._lost.lastElementChild), t("lost"));
    this._pickerField.hidden = !names.length;
    for (const [view, link] of this._links) {
      const isOfStream = OF_STREAM.some(([one]) => one === view);
      link.setAttribute("href", addressOf(view, isOfStream ? stream : null));
      if (view === this._view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      setText(/** @type {Element} */ (link.children[1]), t(`nav.${view}`));
    }
    this._drawSending();
    this._drawCount();
  }

  /** The view that a chosen stream is shown in: this one, where it is of one stream. */
  _ofStream() {
    return OF_STREAM.some(([view]) => view === this._view) ? this._view : "stream";
  }

  /** @param {string} view @param {import("../ground/icons.js").IconName} sign */
  _link(view, sign) {
    const link = h("a", {}, icon(sign), h("span", {}), view === "watches" ? this._count : null);
    this._links.set(view, link);
    return link;
  }

  _drawSending() {
    fill(
      this._sending,
      ...[...sendings.values()].map((one) =>
        h(
          "div",
          { class: "sending" },
          h("span", {}, one.problem || t("sending", { what: one.what, stream: one.name })),
          h("button", { onclick: () => one.end(), "aria-label": t("sending.stop", { stream: one.name }) }, icon("stop"), h("span", {}, t("sending.end"))),
        ),
      ),
    );
  }

  _drawCount() {
    const number = store.raised.size;
    this._count.hidden = !number;
    setText(this._count, number ? String(number) : "");
  }

  _drawWall() {
    const html = document.documentElement;
    if (html.dataset["wall"] !== undefined) {
      delete html.dataset["wall"];
      if (document.fullscreenElement) void document.exitFullscreen();
    } else {
      html.dataset["wall"] = "";
      html.requestFullscreen?.().catch(() => undefined);
    }
  }

  /** @param {Event} event */
  _skip(event) {
    event.preventDefault();
    this.main.querySelector("h1")?.focus();
  }
}

function iconUrl() {
  return document.querySelector("link[rel=icon]")?.getAttribute("href") ?? "";
}

/**
 * The head of a view.
 *
 * @param {string} title
 * @param {import("../ground/dom.js").Child[]} beside
 * @param {...import("../ground/dom.js").Child} actions
 */
export function head(title, beside, ...actions) {
  return h("header", { class: "head" }, h("div", { class: "grow" }, h("h1", { tabindex: "-1" }, title), ...beside), ...actions);
}
