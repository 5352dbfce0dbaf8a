// What is asked besides: of now, of what begins, of what was before; and which time it is told.

import { h } from "../ground/dom.js";
import { t } from "../ground/texts.js";
import { check, field } from "./dialog.js";
import { linesOf } from "./watch_choices.js";

export class WatchConditions {
  /** @param {Watch | null} watch */
  constructor(watch) {
    this._kind = "alert";
    this._newest = h("input", { name: "newest_seconds", type: "number", min: "0", step: "any", value: watch?.newest_seconds ?? "" });
    this._onset = h("textarea", { name: "onset", rows: "2", value: watch?.onset ?? "" });
    this._given = h("input", { name: "given", value: watch?.given ?? "", autocomplete: "off" });
    this._keepsGiven = h("input", { name: "keeps_given", type: "checkbox", checked: watch?.keeps_given });
    this._nth = h("input", { name: "nth", type: "number", min: "1", step: "1", value: watch?.nth ?? "" });
    this._also = h("textarea", { name: "also", rows: "2", value: watch?.also.join("\n") ?? "" });
    this._keepsPart = check(t("watch.keeps_given"), this._keepsGiven);
    this._alsoField = field(t("watch.also"), this._also, t("watch.alsoHow"));
    this._ofAlerts = h(
      "div",
      { class: "fields" },
      field(t("watch.onset"), this._onset, t("watch.onsetHow")),
      field(t("watch.given"), this._given, t("watch.givenHow")),
      this._keepsPart,
      field(t("watch.nth"), this._nth, t("watch.nthHow")),
    );
    this.element = h("div", { class: "fields" }, field(t("watch.newest_seconds"), this._newest, t("watch.newestHow")), this._ofAlerts, this._alsoField);
    this._given.addEventListener("input", () => this._draw());
    this._draw();
  }

  /** @param {string} kind of the watch; what it does not take is not shown, and not sent */
  show(kind) {
    this._kind = kind;
    this._draw();
  }

  /** @returns {Record<string, unknown>} */
  values() {
    const given = this._given.value.trim() || null;
    const ofAlerts = { onset: this._onset.value.trim() || null, given, keeps_given: given !== null && this._keepsGiven.checked, nth: Number(this._nth.value) || null };
    return {
      newest_seconds: this.element.hidden || !this._newest.value ? null : Number(this._newest.value),
      also: this._alsoField.hidden || this.element.hidden ? [] : linesOf(this._also.value),
      ...(this._kind === "alert" ? ofAlerts : { onset: null, given: null, keeps_given: false, nth: null }),
    };
  }

  _draw() {
    this.element.hidden = this._kind === "describe"; // a description reads the whole memory
    this._ofAlerts.hidden = this._kind !== "alert";
    this._alsoField.hidden = this._kind === "count";
    this._keepsPart.hidden = !this._given.value.trim();
  }
}
