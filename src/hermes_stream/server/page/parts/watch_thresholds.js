// When a watch speaks: how likely its answer must be, for how long, and how often it is told.

import { h } from "../ground/dom.js";
import { t } from "../ground/texts.js";
import { number } from "../ground/time.js";
import { check, field } from "./dialog.js";

/** What holds where a field is empty; where that depends on the watch, the server has it. @type {Record<string, number | null>} */
const EMPTY = { raise_at: null, clear_at: null, hold_seconds: 0, cooldown_seconds: 0, max_per_hour: null, pre_seconds: 5, post_seconds: 5 };
const SURE = 0.9;
const LIKELY = 0.5;

export class WatchThresholds {
  /** @param {Watch | null} watch */
  constructor(watch) {
    this._kind = "alert";
    this._hasOptions = false;
    const isOnce = watch?.kind === "alert" && watch.clear_at === 0;
    this._once = h("input", { type: "checkbox", checked: isOnce });
    /** @type {Map<string, HTMLInputElement>} */
    this._inputs = new Map(Object.keys(EMPTY).map((name) => [name, numberInput(name)]));
    const fields = new Map([...this._inputs].map(([name, input]) => [name, field(t(`watch.${name}`), input)]));
    this._clearField = /** @type {HTMLElement} */ (fields.get("clear_at"));
    this.once = check(t("watch.once"), this._once);
    this.element = h("div", { class: "fields two" }, ...fields.values());
    this._input("raise_at").addEventListener("input", () => this._draw());
    this._once.addEventListener("change", () => this._draw());
    if (watch) this._fill(watch, isOnce);
    this._draw();
  }

  /** @param {string} kind of the watch @param {boolean} hasOptions */
  show(kind, hasOptions) {
    this._kind = kind;
    this._hasOptions = hasOptions;
    this._draw();
  }

  /** From which score it speaks. */
  get raiseAt() {
    return Number(this._input("raise_at").value) || this._usualRaise;
  }

  /** @returns {Record<string, unknown>} */
  values() {
    /** @type {Record<string, unknown>} */
    const found = {};
    for (const [name, input] of this._inputs) found[name] = input.value ? Number(input.value) : EMPTY[name];
    if (this._kind !== "alert") found["clear_at"] = null;
    else if (this._once.checked) found["clear_at"] = 0;
    return found;
  }

  /** What measured best, by the server's rules: shown where nothing is given, and given by the server. */
  get _usualRaise() {
    return this._kind === "alert" && !this._hasOptions ? SURE : LIKELY;
  }

  /** @param {Watch} watch @param {boolean} isOnce */
  _fill(watch, isOnce) {
    this._kind = watch.kind;
    this._hasOptions = watch.options !== null;
    const usual = { ...EMPTY, raise_at: this._usualRaise, clear_at: Math.min(LIKELY, watch.raise_at) };
    for (const [name, input] of this._inputs) {
      const value = watch[/** @type {"raise_at"} */ (name)];
      const isShown = value !== null && value !== usual[/** @type {"raise_at"} */ (name)] && !(isOnce && name === "clear_at");
      input.value = isShown ? String(value) : "";
    }
  }

  /** @param {string} name */
  _input(name) {
    return /** @type {HTMLInputElement} */ (this._inputs.get(name));
  }

  _draw() {
    const usual = { ...EMPTY, raise_at: this._usualRaise, clear_at: this._once.checked ? 0 : Math.min(LIKELY, this.raiseAt) };
    for (const [name, value] of Object.entries(usual)) this._input(name).placeholder = value === null ? "" : number(value, 2);
    this._clearField.hidden = this.once.hidden = this._kind !== "alert";
    this._input("clear_at").disabled = this._once.checked;
  }
}

/** @param {string} name */
function numberInput(name) {
  const isShare = name === "raise_at" || name === "clear_at";
  return h("input", { name, type: "number", min: "0", step: "any", max: isShare ? "1" : null });
}
