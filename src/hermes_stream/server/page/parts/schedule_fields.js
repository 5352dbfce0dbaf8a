// Days and hours at which a watch speaks, in the time of the place where the camera is.

import { h } from "../ground/dom.js";
import { locale, t } from "../ground/texts.js";
import { check, field } from "./dialog.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONDAY = Date.UTC(2024, 0, 1);

export class ScheduleFields {
  /** @param {Schedule | null} schedule */
  constructor(schedule) {
    this._isOn = h("input", { type: "checkbox", checked: schedule !== null });
    this._days = DAYS.map((one) => h("input", { type: "checkbox", value: one, checked: schedule?.days?.includes(one) ?? true }));
    this._begins = timeInput("begins", schedule?.begins ?? "22:00");
    this._ends = timeInput("ends", schedule?.ends ?? "06:00");
    this._zone = h("input", { name: "time_zone", value: schedule ? schedule.time_zone : Intl.DateTimeFormat().resolvedOptions().timeZone, autocomplete: "off" });
    const name = (/** @type {number} */ index) => new Date(MONDAY + index * 86_400_000).toLocaleDateString(locale(), { weekday: "short", timeZone: "UTC" });
    this._fields = h(
      "div",
      { class: "fields" },
      h("div", { class: "row", role: "group", "aria-label": t("watch.days") }, ...this._days.map((one, index) => check(name(index), one))),
      h("div", { class: "fields two" }, field(t("watch.begins"), this._begins), field(t("watch.ends"), this._ends), field(t("watch.zone"), this._zone)),
    );
    this.element = h("div", { class: "fields" }, check(t("watch.schedule"), this._isOn), this._fields);
    const draw = () => {
      this._fields.hidden = !this._isOn.checked;
      // hours that are left out are not guessed
      for (const one of [this._begins, this._ends]) one.required = this._isOn.checked;
    };
    this._isOn.addEventListener("change", draw);
    draw();
  }

  /** @returns {Schedule | null} none speaks always */
  value() {
    if (!this._isOn.checked) return null;
    const days = this._days.filter((one) => one.checked).map((one) => one.value);
    const zone = this._zone.value.trim();
    return { days, begins: this._begins.value, ends: this._ends.value, ...(zone ? { time_zone: zone } : {}) }; // else the server's
  }
}

/** @param {string} name @param {string} text a time as the server takes it: also `08`, `0830`, or with seconds */
function timeInput(name, text) {
  const [, hours = "00", minutes = "00", seconds] = /^T?(\d\d):?(\d\d)?:?(\d\d)?/.exec(text) ?? [];
  return h("input", { name, type: "time", step: seconds ? "1" : null, value: [hours, minutes, seconds].filter(Boolean).join(":") });
}
