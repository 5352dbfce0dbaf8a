// Questions and answers about a stream: asked, streamed, stopped, kept.

import { get } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { Asking } from "./asking.js";
import { check, field } from "./dialog.js";
import { Presets } from "./presets.js";
import { Turn } from "./turn.js";

const NUM_EARLIER = 20;

export class Conversation {
  /** @param {string} stream */
  constructor(stream) {
    this._stream = stream;
    /** @type {Asking | null} */
    this._asking = null;
    this._log = h("div", { class: "turns", tabindex: "0", role: "group", "aria-label": t("ask.turns") });
    this._spoken = h("p", { class: "hidden-text", role: "status" });
    this._question = h("textarea", { id: "question", rows: "2", maxlength: "4000", placeholder: t("ask.placeholder"), autocomplete: "off" });
    this._send = h("button", { class: "primary" }, icon("send"), t("ask.send"));
    this._stop = h("button", { type: "button", hidden: true, onclick: () => this._asking?.stop() }, icon("stop"), t("ask.stop"));
    this._options = h("input", { autocomplete: "off", placeholder: t("ask.optionsHow") });
    this._remember = h("input", { type: "checkbox" });
    this._wait = h("input", { type: "number", min: "1", max: "3600", step: "any" });
    this._below = h("input", { type: "number", min: "0", max: "100", step: "1" });
    // a question that waits, or steers the memory, is asked alone
    const alone = () => (this._wait.disabled = this._remember.disabled = this._followUp.checked);
    this._followUp = h("input", { type: "checkbox", onchange: alone });
    this._presets = new Presets(this._question, () => void this._ask());
    /** @type {Turn[]} */
    this._turns = [];
    this._hint = h("p", { class: "soft first-hint" }, t("ask.first"));
    this.element = h("section", { class: "conversation panel", "aria-label": t("ask.title") }, this._log, this._spoken, this._form());
    this._log.append(this._hint);
    void this._loadEarlier();
    this._question.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        void this._ask();
      }
    });
  }

  _form() {
    if (!store.may("ask")) return h("p", { class: "ask-form soft" }, t("ask.mayNot"));
    const form = h(
      "form",
      { class: "ask-form" },
      this._presets.element,
      h("label", { class: "hidden-text", for: "question" }, t("ask.question")),
      this._question,
      h(
        "div",
        { class: "row" },
        h(
          "details",
          { class: "grow" },
          h("summary", {}, t("ask.more")),
          h(
            "div",
            { class: "fields" },
            field(t("ask.options"), this._options),
            field(t("ask.wait"), this._wait, t("ask.waitHow")),
            field(t("ask.below"), this._below, t("ask.belowHow")),
            check(t("ask.remember"), this._remember),
            check(t("ask.followUp"), this._followUp),
          ),
        ),
        this._stop,
        this._send,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._ask();
    });
    return form;
  }

  async _loadEarlier() {
    const { data } = await get("/v1/questions", { stream: this._stream, limit: NUM_EARLIER }).catch(() => ({ data: [] }));
    const earlier = data.reverse().map((/** @type {QuestionRecord} */ one) => Turn.of(this._stream, one));
    this._hint.remove();
    this._log.prepend(...earlier.map((/** @type {Turn} */ one) => one.element));
    if (!earlier.length && !this._turns.length) this._log.append(this._hint);
    this._turns.unshift(...earlier);
    this._toEnd();
  }

  async _ask() {
    const question = this._question.value.trim();
    if (!question || this._asking) return;
    const options = this._options.value.split(",").map((one) => one.trim()).filter(Boolean);
    const turn = new Turn(this._stream, question, store.now());
    const waitSeconds = this._wait.disabled ? undefined : numberOf(this._wait);
    const below = numberOf(this._below);
    if (waitSeconds !== undefined) turn.waits();
    const earlier = this._followUp.checked ? this._turns.slice(-4).map((one) => one.words()) : [];
    this._turns.push(turn);
    this._hint.remove();
    this._log.append(turn.element);
    this._question.value = "";
    this._toEnd();
    const clarifyBelow = below === undefined ? undefined : below / 100;
    this._asking = new Asking(this._stream, { question, options, remember: this._remember.checked && !this._remember.disabled, earlier, waitSeconds, clarifyBelow });
    this._draw();
    try {
      for await (const step of this._asking.steps()) {
        if ("text" in step) turn.add(step.text);
        else turn.end(step.answer);
        this._toEnd();
      }
      if (this._asking.isStopped) turn.stopped();
      this._spoken.textContent = t("ask.answered", { answer: turn.text });
    } catch (error) {
      turn.fail(error);
    }
    this._asking = null;
    this._draw();
    this._toEnd();
  }

  _draw() {
    // whoever went elsewhere meanwhile stays there
    const isHere = [this._stop, this._send, document.body].includes(/** @type {any} */ (document.activeElement));
    this._stop.hidden = !this._asking;
    this._send.disabled = Boolean(this._asking);
    if (!this._asking && isHere) this._question.focus({ preventScroll: true });
  }

  _toEnd() {
    this._log.scrollTop = this._log.scrollHeight;
  }

  end() {
    this._asking?.stop();
    fill(this._log);
  }
}

/** @param {HTMLInputElement} input */
function numberOf(input) {
  return Number.isNaN(input.valueAsNumber) ? undefined : input.valueAsNumber;
}
