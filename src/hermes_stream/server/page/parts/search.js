// The record by words: what was found, where the words stand, and the moment that each leads to.

import { get } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { showError } from "../ground/notices.js";
import { addressOf } from "../ground/router.js";
import { t } from "../ground/texts.js";
import { moment } from "../ground/time.js";
import { picture } from "./thumbs.js";

const LIMIT = 24;

/** @typedef {{stream: string | null, stream_seconds: number | null, wall_seconds: number, snippet: {text: string, marks: [number, number][]}, picture_url: string | null}} Found */

export class SearchResults {
  constructor() {
    this._turn = 0;
    this._list = h("ul", { class: "found" });
    this._status = h("p", { class: "soft grow", role: "status" });
    this._more = h("button", { hidden: true }, t("search.more"));
    this._close = h("button", { class: "quiet only-icon", "aria-label": t("close"), onclick: () => (this.element.hidden = true) }, icon("close"));
    this.element = h("section", { class: "panel found-panel", hidden: true, "aria-label": t("search.results") }, h("header", {}, this._status, this._close), this._list, this._more);
  }

  /** @param {Record<string, unknown>} query @param {string} words */
  async search(query, words) {
    if (!words) {
      this.element.hidden = true;
      return;
    }
    this.element.hidden = false;
    fill(this._list);
    await this._page({ ...query, q: words, limit: LIMIT });
  }

  /** @param {Record<string, unknown>} query */
  async _page(query) {
    const turn = ++this._turn;
    try {
      const found = await get("/v1/search", query);
      if (turn !== this._turn) return; // something else was asked for meanwhile
      this._list.append(...found.results.map((/** @type {Found} */ one) => line(one)));
      this._status.textContent = t("search.found", { number: this._list.childElementCount });
      this._more.hidden = !found.next;
      this._more.onclick = () => void this._page({ ...query, before: found.next });
    } catch (error) {
      if (turn !== this._turn) return;
      this._more.hidden = true;
      showError(this._list, error);
    }
  }
}

/** @param {Found} one */
function line(one) {
  const at = one.stream_seconds ?? undefined;
  return h(
    "li",
    {},
    h(
      "a",
      { href: addressOf("timeline", one.stream, { at }) },
      one.picture_url ? picture(one.picture_url) : h("span", { class: "no-picture" }, icon("answer")),
      h("span", { class: "grow" }, h("span", { class: "snippet" }, ...marked(one)), h("span", { class: "small faint" }, [one.stream, moment(one.wall_seconds)].filter(Boolean).join(" · "))),
    ),
  );
}

/** The text with what was found in it made bold. @param {Found} one */
function marked({ snippet: { text, marks } }) {
  /** @type {import("../ground/dom.js").Child[]} */
  const parts = [];
  let done = 0;
  for (const [from, until] of marks) {
    if (from < done) continue;
    parts.push(text.slice(done, from), h("mark", {}, text.slice(from, until)));
    done = until;
  }
  return [...parts, text.slice(done)];
}
