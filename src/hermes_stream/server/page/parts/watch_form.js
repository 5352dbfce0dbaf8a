// A standing question, made or changed; and tried on the past before it is believed.

import { send, streamPath } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { showError } from "../ground/notices.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, number } from "../ground/time.js";
import { field, formDialog } from "./dialog.js";
import { RegionEditor } from "./region_editor.js";
import { ScheduleFields } from "./schedule_fields.js";
import { curveOf } from "./score_curve.js";
import { momentName } from "./thumbs.js";
import { WatchConditions } from "./watch_conditions.js";

const KINDS = ["alert", "state", "count", "describe"];
const SEVERITIES = ["info", "warning", "alarm"];

/** @param {string} stream @param {Watch | null} watch @param {() => void} changed */
export function watchForm(stream, watch, changed) {
  const form = new WatchForm(stream, watch);
  const dialog = formDialog({
    title: watch ? t("watch.edit", { name: watch.name }) : t("watch.new"),
    content: form.content(),
    confirm: t(watch ? "watch.save" : "watch.make"),
    work: async () => {
      const path = watch ? `/watches/${watch.id}` : "/watches";
      await send(watch ? "PATCH" : "POST", streamPath(stream, path), form.body(Boolean(watch)));
      changed();
    },
  });
  dialog.classList.add("wide");
}

class WatchForm {
  /** @param {string} stream @param {Watch | null} watch */
  constructor(stream, watch) {
    this._stream = stream;
    this._name = h("input", { value: watch?.name ?? "", autocomplete: "off", maxlength: "100", placeholder: t("watch.nameHow") });
    this._question = h("textarea", { rows: "2", required: true, maxlength: "2000", value: watch?.question ?? "" });
    this._kind = h("select", { disabled: Boolean(watch) }, ...KINDS.map((one) => h("option", { value: one }, t(`watch.kind.${one}`))));
    this._kind.value = watch?.kind ?? "alert";
    this._severity = h("select", {}, ...SEVERITIES.map((one) => h("option", { value: one }, t(`severity.${one}`))));
    this._severity.value = watch?.severity ?? "warning";
    this._options = h("input", { value: watch?.options?.join(", ") ?? "", autocomplete: "off" });
    this._optionsField = field(t("watch.options"), this._options, t("ask.optionsHow"));
    this._conditions = new WatchConditions(watch);
    this._schedule = new ScheduleFields(watch?.schedule ?? null);
    this._context = h("textarea", { rows: "2", value: watch?.context ?? "", placeholder: t("watch.contextHow") });
    this._region = new RegionEditor(stream, watch?.region ?? null);
    this._regionPart = h("details", { open: Boolean(watch?.region) }, h("summary", {}, t("region.title")), this._region.element);
    this._result = h("div", { class: "tried" });
    this._kind.addEventListener("change", () => this._draw());
    this._draw();
  }

  content() {
    const test = store.offers("POST", "/v1/streams/{}/watches/test") ? h("button", { type: "button", onclick: () => void this._try() }, t("watch.test")) : null;
    const more = [...this._conditions.elements, this._schedule.element, field(t("watch.context"), this._context)];
    return [
      h("div", { class: "fields two" }, field(t("watch.kind"), this._kind), field(t("watch.severity"), this._severity)),
      field(t("watch.question"), this._question, t("watch.questionHow")),
      this._optionsField,
      field(t("name"), this._name),
      this._conditions.once,
      this._regionPart,
      h("details", {}, h("summary", {}, t("watch.more")), h("div", { class: "fields" }, ...more)),
      test ? h("div", { class: "row" }, test, h("span", { class: "small faint" }, t("watch.testHow"))) : null,
      this._result,
    ];
  }

  _draw() {
    const kind = this._kind.value;
    this._regionPart.hidden = kind === "describe"; // a description reads the whole memory
    this._optionsField.hidden = !["state", "count"].includes(kind);
    this._options.required = kind === "state";
  }

  /** @param {boolean} isChange */
  body(isChange) {
    const options = this._options.value.split(",").map((one) => one.trim()).filter(Boolean);
    /** @type {Record<string, unknown>} what may be taken away again */
    const others = {
      schedule: this._schedule.value(),
      context: this._context.value.trim() || null,
      region: this._regionPart.hidden ? null : this._region.value(),
    };
    for (const [name, value] of Object.entries(others)) if (value === null && !isChange) delete others[name];
    return {
      question: this._question.value.trim(),
      severity: this._severity.value,
      ...(this._name.value.trim() ? { name: this._name.value.trim() } : {}),
      ...(isChange ? {} : { kind: this._kind.value }),
      ...(options.length && !this._optionsField.hidden ? { options } : {}),
      ...this._conditions.body(isChange),
      ...others,
    };
  }

  async _try() {
    fill(this._result, h("p", { class: "soft", role: "status" }, t("watch.testing")));
    try {
      const found = await send("POST", streamPath(this._stream, "/watches/test"), this.body(false));
      const fired = found.fired.map((/** @type {{stream_seconds: number}} */ one) => one.stream_seconds);
      // what holds where none is given: an answer by yes or no is raised at more than the likeliest of options
      const usual = this._kind.value === "alert" && !this._options.value.trim() ? 0.9 : 0.5;
      fill(
        this._result,
        h("p", { role: "status" }, t("watch.tested", { number: number(fired.length), time: duration(found.covered_seconds) })),
        curveOf(this._stream, found.scores, [this._conditions.raiseAt ?? usual], fired),
        h("ul", { class: "row" }, ...fired.slice(0, 12).map((/** @type {number} */ at) => h("li", {}, h("a", { href: addressOf("timeline", this._stream, { at }), target: "_blank", rel: "noopener" }, momentName(this._stream, at))))),
      );
    } catch (error) {
      showError(this._result, error);
    }
  }
}
