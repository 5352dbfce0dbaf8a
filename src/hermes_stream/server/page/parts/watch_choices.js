// Answers to choose among, and the one of an alert that counts as yes.

import { fill, h } from "../ground/dom.js";
import { t } from "../ground/texts.js";
import { field } from "./dialog.js";

export class WatchChoices {
  /** @param {Watch | null} watch @param {() => void} changed */
  constructor(watch, changed) {
    this._kind = "alert";
    // one a line: an answer may have a comma
    this._options = h("textarea", { name: "options", rows: "2", value: watch?.options?.join("\n") ?? "" });
    this._answer = h("select", { name: "answer" });
    this._hint = h("span", { class: "hint" });
    this._answerField = field(t("watch.answer"), this._answer);
    const optionsField = field(t("watch.options"), this._options);
    optionsField.append(this._hint);
    this.element = h("div", { class: "fields" }, optionsField, this._answerField);
    this._options.addEventListener("input", () => {
      this._draw(this._answer.value);
      changed();
    });
    this._draw(watch?.answer ?? "");
  }

  get hasAny() {
    return this._listed.length > 0 && this._kind !== "describe";
  }

  get _listed() {
    return linesOf(this._options.value);
  }

  /** @param {string} kind of the watch */
  show(kind) {
    this._kind = kind;
    this._draw(this._answer.value);
  }

  /** @returns {Record<string, unknown>} */
  values() {
    return { options: this.hasAny ? this._listed : null, answer: this._answerField.hidden ? null : this._answer.value };
  }

  /** @param {string} chosen */
  _draw(chosen) {
    const isAlert = this._kind === "alert";
    this.element.hidden = this._kind === "describe";
    this._options.required = this._kind === "state";
    this._hint.textContent = t(isAlert ? "watch.optionsOfAlert" : "watch.optionsHow");
    this._answerField.hidden = !isAlert || !this.hasAny;
    this._answer.required = !this._answerField.hidden;
    const listed = this._listed;
    fill(this._answer, ...["", ...new Set(listed)].map((one) => h("option", { value: one }, one || t("watch.answerNone"))));
    this._answer.value = listed.includes(chosen) ? chosen : "";
  }
}

/** @param {string} text @returns {string[]} */
export function linesOf(text) {
  return text.split("\n").map((one) => one.trim()).filter(Boolean);
}
