// When a watch speaks: its thresholds and times, and what must be so besides.

import { h } from "../ground/dom.js";
import { t } from "../ground/texts.js";
import { check, field } from "./dialog.js";

/** @type {(keyof Watch & string)[]} */
const NUMBERS = ["raise_at", "clear_at", "hold_seconds", "cooldown_seconds", "max_per_hour", "pre_seconds", "post_seconds"];
/** What a change gives for a field that was emptied: what holds where none is given. @type {Record<string, number | null>} */
const EMPTIED = { raise_at: null, clear_at: null, max_per_hour: null, hold_seconds: 0, cooldown_seconds: 0 };

export class WatchConditions {
  /** @param {Watch | null} watch */
  constructor(watch) {
    const isOnce = watch?.clear_at === 0;
    this._once = h("input", { type: "checkbox", checked: isOnce });
    this._also = h("textarea", { rows: "2", value: watch?.also.join("\n") ?? "" });
    this._given = h("input", { value: watch?.given ?? "", autocomplete: "off" });
    /** @type {Map<string, HTMLInputElement>} */
    this._numbers = new Map(NUMBERS.map((name) => [name, numberInput(name, name === "clear_at" && isOnce ? null : watch?.[name])]));
    this.once = check(t("watch.once"), this._once);
    this.elements = [
      h("div", { class: "fields two" }, ...[...this._numbers].map(([name, input]) => field(t(`watch.${name}`), input))),
      field(t("watch.also"), this._also, t("watch.alsoHow")),
      field(t("watch.given"), this._given, t("watch.givenHow")),
    ];
  }

  /** From which score it speaks, where that was said. */
  get raiseAt() {
    return Number(this._numbers.get("raise_at")?.value) || undefined;
  }

  /** @param {boolean} isChange @returns {Record<string, unknown>} */
  body(isChange) {
    /** @type {Record<string, unknown>} */
    const body = {};
    for (const [name, input] of this._numbers) {
      if (input.value) body[name] = Number(input.value);
      else if (isChange && name in EMPTIED) body[name] = EMPTIED[name];
    }
    if (this._once.checked) body["clear_at"] = 0;
    const also = this._also.value.split("\n").map((one) => one.trim()).filter(Boolean);
    const given = this._given.value.trim();
    if (also.length || isChange) body["also"] = also;
    if (given || isChange) body["given"] = given || null;
    return body;
  }
}

/** @param {string} name @param {unknown} value */
function numberInput(name, value) {
  const isShare = name === "raise_at" || name === "clear_at";
  const input = h("input", { type: "number", min: "0", step: "any", max: isShare ? "1" : null });
  input.value = value === undefined || value === null ? "" : String(value);
  return input;
}
