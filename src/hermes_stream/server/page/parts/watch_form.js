// A standing question, made or changed; and tried on the past before it is believed.

import { send, streamPath } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { showError } from "../ground/notices.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, number } from "../ground/time.js";
import { check, field, formDialog } from "./dialog.js";
import { ScheduleFields } from "./schedule_fields.js";
import { curveOf } from "./score_curve.js";
import { momentName } from "./thumbs.js";

const KINDS = ["alert", "state", "count", "describe"];
const SEVERITIES = ["info", "warning", "alarm"];
/** @type {(keyof Watch & string)[]} */
const NUMBERS = ["raise_at", "clear_at", "hold_seconds", "cooldown_seconds", "max_per_hour", "pre_seconds", "post_seconds"];

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
    this._watch = watch;
    this._name = h("input", { value: watch?.name ?? "", autocomplete: "off", maxlength: "100", placeholder: t("watch.nameHow") });
    this._question = h("textarea", { rows: "2", required: true, maxlength: "2000", value: watch?.question ?? "" });
    this._kind = h("select", { disabled: Boolean(watch) }, ...KINDS.map((one) => h("option", { value: one }, t(`watch.kind.${one}`))));
    this._kind.value = watch?.kind ?? "alert";
    this._severity = h("select", {}, ...SEVERITIES.map((one) => h("option", { value: one }, t(`severity.${one}`))));
    this._severity.value = watch?.severity ?? "warning";
    this._options = h("input", { value: watch?.options?.join(", ") ?? "", autocomplete: "off" });
    this._optionsField = field(t("watch.options"), this._options, t("ask.optionsHow"));
    this._schedule = new ScheduleFields(watch?.schedule ?? null);
    this._context = h("textarea", { rows: "2", value: watch?.context ?? "", placeholder: t("watch.contextHow") });
    /** @type {Map<string, HTMLInputElement>} */
    this._numbers = new Map(NUMBERS.map((name) => [name, numberInput(name, watch?.[name])]));
    this._repeat = h("input", { type: "checkbox", checked: watch?.clear_at === 0 });
    this._result = h("div", { class: "tried" });
    this._kind.addEventListener("change", () => this._draw());
    this._draw();
  }

  content() {
    const numbers = [...this._numbers].map(([name, input]) => field(t(`watch.${name}`), input));
    const test = store.offers("POST", "/v1/streams/{}/watches/test") ? h("button", { type: "button", onclick: () => void this._try() }, t("watch.test")) : null;
    return [
      h("div", { class: "fields two" }, field(t("watch.kind"), this._kind), field(t("watch.severity"), this._severity)),
      field(t("watch.question"), this._question, t("watch.questionHow")),
      this._optionsField,
      field(t("name"), this._name),
      check(t("watch.once"), this._repeat),
      h("details", {}, h("summary", {}, t("watch.more")), h("div", { class: "fields" }, h("div", { class: "fields two" }, ...numbers), this._schedule.element, field(t("watch.context"), this._context))),
      test ? h("div", { class: "row" }, test, h("span", { class: "small faint" }, t("watch.testHow"))) : null,
      this._result,
    ];
  }

  _draw() {
    this._optionsField.hidden = !["state", "count"].includes(this._kind.value);
    this._options.required = this._kind.value === "state";
  }

  /** @param {boolean} isChange */
  body(isChange) {
    /** @type {Record<string, unknown>} */
    const body = { question: this._question.value.trim(), severity: this._severity.value };
    if (this._name.value.trim()) body["name"] = this._name.value.trim();
    if (!isChange) body["kind"] = this._kind.value;
    const options = this._options.value.split(",").map((one) => one.trim()).filter(Boolean);
    if (options.length && !this._optionsField.hidden) body["options"] = options;
    for (const [name, input] of this._numbers) if (input.value) body[name] = Number(input.value);
    if (this._repeat.checked) body["clear_at"] = 0;
    const schedule = this._schedule.value();
    if (schedule || isChange) body["schedule"] = schedule;
    if (this._context.value.trim()) body["context"] = this._context.value.trim();
    return body;
  }

  async _try() {
    fill(this._result, h("p", { class: "soft", role: "status" }, t("watch.testing")));
    try {
      const found = await send("POST", streamPath(this._stream, "/watches/test"), this.body(false));
      const fired = found.fired.map((/** @type {{stream_seconds: number}} */ one) => one.stream_seconds);
      // what holds where none is given: an answer by yes or no is raised at more than the likeliest of options
      const usual = this._kind.value === "alert" && !this._options.value.trim() ? 0.9 : 0.5;
      const thresholds = [Number(this._numbers.get("raise_at")?.value || usual)];
      fill(
        this._result,
        h("p", { role: "status" }, t("watch.tested", { number: number(fired.length), time: duration(found.covered_seconds) })),
        curveOf(this._stream, found.scores, thresholds, fired),
        h("ul", { class: "row" }, ...fired.slice(0, 12).map((/** @type {number} */ at) => h("li", {}, h("a", { href: addressOf("timeline", this._stream, { at }), target: "_blank", rel: "noopener" }, momentName(this._stream, at))))),
      );
    } catch (error) {
      showError(this._result, error);
    }
  }
}

/** @param {string} name @param {unknown} value */
function numberInput(name, value) {
  const isShare = name === "raise_at" || name === "clear_at";
  const input = h("input", { type: "number", min: "0", step: "any", max: isShare ? "1" : null });
  input.value = value === undefined || value === null ? "" : String(value);
  return input;
}
