// One question to every stream: who has seen it?

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { addressOf } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { percent } from "../ground/time.js";
import { Asking } from "./asking.js";
import { bar } from "./badges.js";

/** Answers on their way: browsers open six connections, and figures and events keep two. */
const AT_ONCE = 3;

export class AskAll {
  constructor() {
    /** @type {Set<Asking>} */
    this._asked = new Set();
    this._number = 0;
    this._question = h("input", { required: true, maxlength: "4000", autocomplete: "off", placeholder: t("ask.allHow") });
    this._send = h("button", {}, icon("send"), t("ask.send"));
    this._stop = h("button", { type: "button", hidden: true, onclick: () => this._halt() }, icon("stop"), t("ask.stop"));
    this._title = h("h2", { class: "grow" });
    this._spoken = h("p", { class: "hidden-text", role: "status" });
    this._list = h("ul", { class: "all-answers" });
    const close = h("button", { class: "quiet only-icon", "aria-label": t("close"), onclick: () => this._close() }, icon("close"));
    this._panel = h("section", { class: "panel", hidden: true, "aria-label": t("ask.all") }, h("header", {}, this._title, close), this._list);
    const form = h("form", { class: "row ask-all-form" }, h("label", { class: "grow" }, h("span", { class: "hidden-text" }, t("ask.question")), this._question), this._stop, this._send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._ask(this._question.value.trim());
    });
    this.element = h("div", { class: "ask-all" }, form, this._spoken, this._panel);
  }

  /** @param {string} question */
  async _ask(question) {
    const names = [...store.streams.values()].filter((one) => one.newest_pts_seconds !== null).map((one) => one.name);
    if (!question || !names.length) return;
    this._halt();
    const number = ++this._number;
    const lines = names.map((name) => new Line(name));
    this._title.textContent = question;
    fill(this._list, ...lines.map((one) => one.element));
    this._panel.hidden = false;
    this._stop.hidden = false;
    const waiting = [...lines];
    const work = async () => {
      for (let line = waiting.shift(); line && number === this._number; line = waiting.shift()) await this._one(line, question);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (number !== this._number) return;
    this._stop.hidden = true;
    this._spoken.textContent = lines.map((one) => `${one.name}: ${one.words}`).join("; ");
  }

  /** @param {Line} line @param {string} question */
  async _one(line, question) {
    const asking = new Asking(line.name, { question, options: [], remember: false, earlier: [] });
    this._asked.add(asking);
    try {
      for await (const step of asking.steps()) "text" in step ? line.add(step.text) : line.end(step.answer);
      if (asking.isStopped) line.say(t("ask.stopped"));
    } catch (error) {
      line.say(error instanceof Error ? error.message : String(error));
    }
    this._asked.delete(asking);
  }

  _halt() {
    this._number += 1;
    this._asked.forEach((one) => one.stop());
    this._stop.hidden = true;
  }

  _close() {
    this._halt();
    this._panel.hidden = true;
    this._question.focus();
  }

  end() {
    this._halt();
  }
}

/** What one stream answers. */
class Line {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.words = "";
    this._answer = h("span", { class: "grow faint" }, t("ask.waiting"));
    this._sure = h("span", { class: "sure small" });
    this.element = h("li", {}, h("a", { href: addressOf("stream", name) }, name), this._answer, this._sure);
  }

  /** @param {string} piece */
  add(piece) {
    this.say(this.words + piece);
    this._answer.classList.remove("faint");
  }

  /** @param {string} words */
  say(words) {
    this.words = words;
    this._answer.textContent = words;
  }

  /** @param {Answer} answer */
  end(answer) {
    this.say(answer.text || t("ask.noWords"));
    this._answer.classList.toggle("faint", !answer.text);
    if (answer.confidence !== null && answer.confidence !== undefined) {
      fill(this._sure, h("span", { class: "hidden-text" }, t("answer.confidence")), bar(answer.confidence, ""), percent(answer.confidence));
    }
  }
}
