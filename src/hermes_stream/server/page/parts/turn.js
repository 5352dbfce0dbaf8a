// One question and its answer: the words, how quick and how sure, and on what it rests.

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { errorLine } from "../ground/notices.js";
import { t } from "../ground/texts.js";
import { duration, moment, number, percent } from "../ground/time.js";
import { bar } from "./badges.js";
import { evidenceThumbs } from "./thumbs.js";

export class Turn {
  /**
   * @param {string} stream
   * @param {string} question
   * @param {number} wall when it was asked
   */
  constructor(stream, question, wall) {
    this._stream = stream;
    this.question = question;
    this.text = "";
    this._words = h("p", { class: "answer" });
    this._more = h("div", { class: "answer-more" });
    this._waiting = h("span", { class: "waiting" }, t("ask.waiting"));
    this._words.append(this._waiting);
    this.element = h(
      "article",
      { class: "turn", "aria-label": t("ask.turn", { question }) },
      h("p", { class: "asked" }, h("span", {}, question), h("time", { class: "faint small" }, moment(wall))),
      this._words,
      this._more,
    );
  }

  /** A turn of the record. @param {string} stream @param {QuestionRecord} record */
  static of(stream, record) {
    const turn = new Turn(stream, record.question, record.asked_wall_seconds);
    turn.add(record.answer);
    if (record.failure) turn.fail(new Error(record.failure));
    else turn.end({ ...record, text: record.answer });
    return turn;
  }

  words() {
    return { question: this.question, answer: this.text };
  }

  /** It is answered when its evidence has come. */
  waits() {
    this._waiting.textContent = t("ask.waitsForEvidence");
  }

  /** @param {string} piece */
  add(piece) {
    this._waiting.remove();
    this.text += piece;
    this._words.append(piece);
  }

  /** @param {Partial<Answer> & {text: string}} answer */
  end(answer) {
    this.text = answer.text;
    fill(this._words, answer.text || h("span", { class: "faint" }, t(answer.finish_reason === "not_seen" ? "ask.notSeen" : "ask.noWords")));
    fill(this._more, this._measures(answer));
    if (answer.clarification) this._more.prepend(h("p", { class: "badge info" }, icon("info"), t("ask.clarification")));
    if (answer.guess) this._more.append(h("p", { class: "small soft" }, t("ask.guess", { guess: answer.guess })));
    if (answer.evidence?.length) this._more.append(evidenceThumbs(this._stream, answer.evidence));
  }

  stopped() {
    this._waiting.remove();
    this._more.prepend(h("p", { class: "faint small" }, t("ask.stopped")));
  }

  /** @param {unknown} error */
  fail(error) {
    this._waiting.remove();
    fill(this._more, errorLine(error));
  }

  /** @param {Partial<Answer>} answer */
  _measures(answer) {
    /** @type {import("../ground/dom.js").Child[]} */
    const parts = [];
    const { ttft_seconds: first, ttft_with_pending_seconds: whole, tokens_per_second: rate, confidence } = answer;
    if (first) parts.push(measure(t("answer.ttft"), duration(first)));
    if (whole) parts.push(measure(t("answer.ttftPending"), duration(whole)));
    if (rate) parts.push(measure(t("answer.rate"), t("answer.rateValue", { rate: number(rate) })));
    if (confidence !== null && confidence !== undefined) {
      parts.push(measure(t("answer.confidence"), h("span", { class: "sure" }, bar(confidence, ""), percent(confidence))));
    }
    if (answer.finish_reason === "length") parts.push(h("div", { class: "faint" }, t("answer.cut")));
    return h("dl", { class: "measures small" }, ...parts);
  }
}

/** @param {string} name @param {import("../ground/dom.js").Child} value */
function measure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
