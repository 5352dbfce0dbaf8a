// A standing question, made or changed; and tried on the past before it is believed.

import { get, send, streamPath } from "../ground/api.js";
import { fill, h, setText } from "../ground/dom.js";
import { showFormError, tellError } from "../ground/notices.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { duration, number } from "../ground/time.js";
import { field, formDialog } from "./dialog.js";
import { RegionEditor } from "./region_editor.js";
import { ScheduleFields } from "./schedule_fields.js";
import { curveOf } from "./score_curve.js";
import { momentName } from "./thumbs.js";
import { WatchChoices } from "./watch_choices.js";
import { WatchConditions } from "./watch_conditions.js";
import { WatchThresholds } from "./watch_thresholds.js";

const KINDS = ["alert", "state", "count", "describe"];
const SEVERITIES = ["info", "warning", "alarm"];
/** What the server settles together, where one of them is not given. */
const TOGETHER = ["options", "raise_at", "clear_at"];

/** @param {string} stream @param {number | null} id of the watch; none makes one @param {() => void} changed */
export async function watchForm(stream, id, changed) {
  try {
    // as it is now: a threshold may have been moved since the list was made, also by somebody else
    const watch = id === null ? null : await get(streamPath(stream, `/watches/${id}`));
    show(new WatchForm(stream, watch), changed);
  } catch (error) {
    tellError(error);
  }
}

/** @param {WatchForm} form @param {() => void} changed */
function show(form, changed) {
  const title = h("span", {});
  const confirm = h("span", {});
  const say = () => {
    setText(title, form.watch ? t("watch.edit", { name: form.watch.name }) : t("watch.new"));
    setText(confirm, t(form.watch ? "watch.save" : "watch.make"));
  };
  say();
  const work = async () => {
    const isWarned = await form.save();
    changed();
    say();
    return !isWarned;
  };
  formDialog({ title, content: form.content(), confirm, work }).classList.add("wide");
}

class WatchForm {
  /** @param {string} stream @param {Watch | null} watch */
  constructor(stream, watch) {
    this._stream = stream;
    this.watch = watch;
    this._name = h("input", { name: "name", value: watch && watch.name !== labelOf(watch.question) ? watch.name : "", autocomplete: "off", maxlength: "100", placeholder: t("watch.nameHow") });
    this._question = h("textarea", { name: "question", rows: "2", required: true, maxlength: "2000", value: watch?.question ?? "" });
    this._kind = h("select", { name: "kind", disabled: Boolean(watch) }, ...KINDS.map((one) => h("option", { value: one }, t(`watch.kind.${one}`))));
    this._kind.value = watch?.kind ?? "alert";
    this._severity = h("select", { name: "severity" }, ...SEVERITIES.map((one) => h("option", { value: one }, t(`severity.${one}`))));
    this._severity.value = watch?.severity ?? "warning";
    this._choices = new WatchChoices(watch, () => this._draw());
    this._choicesPlace = h("div", {});
    this._conditions = new WatchConditions(watch);
    this._conditionsPart = h("details", {}, h("summary", {}, t("watch.conditions")), this._conditions.element);
    this._thresholds = new WatchThresholds(watch);
    this._schedule = new ScheduleFields(watch?.schedule ?? null);
    this._context = h("textarea", { name: "context", rows: "2", maxlength: "2000", value: watch?.context ?? "", placeholder: t("watch.contextHow") });
    this._region = new RegionEditor(stream, watch?.region ?? null);
    this._regionPart = h("details", { open: Boolean(watch?.region) }, h("summary", {}, t("region.title")), this._region.element);
    this._result = h("div", { class: "tried" });
    this._warnings = h("div", { class: "fields", role: "status" });
    this._warn();
    this._kind.addEventListener("change", () => this._draw());
    this._draw();
    /** What stood here: what is other now is a change, and all else stays as the server has it. */
    this._before = this._values();
    this._conditionsPart.open = this._hasConditions;
  }

  content() {
    const test = store.offers("POST", "/v1/streams/{}/watches/test") ? h("button", { type: "button", onclick: () => void this._try() }, t("watch.test")) : null;
    const more = [this._thresholds.element, this._schedule.element, field(t("watch.context"), this._context)];
    return [
      h("div", { class: "fields two" }, field(t("watch.kind"), this._kind), field(t("watch.severity"), this._severity)),
      field(t("watch.question"), this._question, t("watch.questionHow")),
      this._choicesPlace,
      field(t("name"), this._name),
      this._thresholds.once,
      this._regionPart,
      this._conditionsPart,
      h("details", {}, h("summary", {}, t("watch.more")), h("div", { class: "fields" }, ...more)),
      test ? h("div", { class: "row" }, test, h("span", { class: "small faint" }, t("watch.testHow"))) : null,
      this._result,
      this._warnings,
    ];
  }

  /** Keep it. @returns {Promise<boolean>} whether the server warns of something new */
  async save() {
    const changes = this._changes();
    if (this.watch && !Object.keys(changes).length) return false;
    const path = this.watch ? `/watches/${this.watch.id}` : "/watches";
    const kept = await send(this.watch ? "PATCH" : "POST", streamPath(this._stream, path), this.watch ? changes : this._made(changes));
    const known = this.watch?.warnings ?? [];
    this.watch = kept;
    this._before = this._values();
    this._kind.disabled = true;
    this._warn();
    return kept.warnings?.some((/** @type {string} */ one) => !known.includes(one)) ?? false;
  }

  _warn() {
    fill(this._warnings, ...(this.watch?.warnings ?? []).map((one) => h("p", { class: "soft" }, one)));
  }

  _draw() {
    const kind = this._kind.value;
    this._regionPart.hidden = this._conditionsPart.hidden = kind === "describe"; // a description reads the whole memory
    this._choices.show(kind);
    // an alert is answered by yes or no, if not told otherwise
    (kind === "alert" ? this._conditions.element : this._choicesPlace).append(this._choices.element);
    this._conditions.show(kind);
    this._thresholds.show(kind, this._choices.hasAny);
  }

  get _hasConditions() {
    const choices = this._kind.value === "alert" ? this._choices.values() : {};
    return Object.values({ ...this._conditions.values(), ...choices }).flat().some(Boolean);
  }

  /** @returns {Record<string, unknown>} every field that stands here; none for what is empty */
  _values() {
    return {
      question: this._question.value.trim(),
      name: this._name.value.trim() || null,
      severity: this._severity.value,
      ...this._choices.values(),
      ...this._conditions.values(),
      ...this._thresholds.values(),
      schedule: this._schedule.value(),
      context: this._context.value.trim() || null,
      region: this._regionPart.hidden ? null : this._region.value(),
    };
  }

  /** @returns {Record<string, unknown>} */
  _changes() {
    const values = this._values();
    const isChanged = (/** @type {string} */ name) => JSON.stringify(values[name]) !== JSON.stringify(this._before[name]);
    const names = new Set(Object.keys(values).filter(isChanged));
    if (this.watch && TOGETHER.some((name) => names.has(name))) ["raise_at", "clear_at"].forEach((name) => names.add(name));
    if (names.has("region")) this._region.check();
    return Object.fromEntries([...names].map((name) => [name, values[name]]));
  }

  /** @param {Record<string, unknown>} changes of an empty form */
  _made(changes) {
    return { question: this._question.value.trim(), kind: this._kind.value, severity: this._severity.value, ...changes };
  }

  async _try() {
    const form = this._question.form;
    if (!form?.reportValidity()) return;
    showFormError(form, this._result, null);
    fill(this._result, h("p", { class: "soft", role: "status" }, t("watch.testing")));
    try {
      const changes = this._changes();
      const path = this.watch ? `/watches/${this.watch.id}/test` : "/watches/test";
      const found = await send("POST", streamPath(this._stream, path), this.watch ? changes : this._made(changes));
      const fired = found.fired.map((/** @type {{stream_seconds: number}} */ one) => one.stream_seconds);
      fill(
        this._result,
        h("p", { role: "status" }, t("watch.tested", { number: number(fired.length), time: duration(found.covered_seconds) })),
        curveOf(this._stream, found.scores, [this._thresholds.raiseAt], fired),
        h("ul", { class: "row" }, ...fired.slice(0, 12).map((/** @type {number} */ at) => h("li", {}, h("a", { href: addressOf("timeline", this._stream, { at }), target: "_blank", rel: "noopener" }, momentName(this._stream, at))))),
      );
    } catch (error) {
      showFormError(form, this._result, error);
    }
  }
}

/** What the server calls a watch without a name. @param {string} question */
function labelOf(question) {
  return question.slice(0, 100).replaceAll(/[/\p{Cc}]/gu, " ");
}
