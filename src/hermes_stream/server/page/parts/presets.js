// Questions at hand: some to begin with, and the user's own.

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { pref, setPref } from "../ground/prefs.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";

const MOST = 12;

export class Presets {
  /** @param {HTMLTextAreaElement} question @param {() => void} ask */
  constructor(question, ask) {
    this._question = question;
    this._ask = ask;
    this._isEditing = false;
    this.element = h("div", { class: "presets", role: "group", "aria-label": t("presets.title") });
    this._draw();
  }

  /** @returns {string[]} */
  _all() {
    // a model that understands one thing alone is asked in its own words
    const first = store.about?.model.knows ? ["what is on screen now?", "was there a red circle?"] : [t("presets.now"), t("presets.before"), t("presets.people")];
    return pref("presets", null) ?? first;
  }

  _draw() {
    const keep = (/** @type {string[]} */ all) => {
      setPref("presets", all.slice(0, MOST));
      this._draw();
    };
    fill(
      this.element,
      ...this._all().map((one) =>
        h(
          "button",
          {
            type: "button",
            class: "preset",
            "aria-label": this._isEditing ? t("presets.remove", { question: one }) : null,
            onclick: () => {
              if (this._isEditing) return keep(this._all().filter((other) => other !== one));
              this._question.value = one;
              this._ask();
            },
          },
          one,
          this._isEditing ? icon("close") : null,
        ),
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet only-icon preset",
          "aria-label": t("presets.add"),
          title: t("presets.add"),
          onclick: () => {
            const text = this._question.value.trim();
            if (text && !this._all().includes(text)) keep([...this._all(), text]);
            else this._question.focus();
          },
        },
        icon("plus"),
      ),
      h(
        "button",
        {
          type: "button",
          class: "quiet only-icon preset",
          "aria-pressed": String(this._isEditing),
          "aria-label": t("presets.edit"),
          title: t("presets.edit"),
          onclick: () => {
            this._isEditing = !this._isEditing;
            this._draw();
          },
        },
        icon("edit"),
      ),
    );
  }
}
