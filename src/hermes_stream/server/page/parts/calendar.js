// A month of days, of which those can be chosen on which the stream was there.

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { locale, t } from "../ground/texts.js";

/**
 * @param {object} options
 * @param {number} options.from first moment, seconds since 1970
 * @param {number} options.until last moment
 * @param {() => number} options.chosen
 * @param {(wall: number) => void} options.onChoose is told midnight of the day
 */
export function calendar({ from, until, chosen, onChoose }) {
  const box = h("div", { class: "calendar panel", hidden: true });
  const button = h("button", { class: "only-icon", "aria-label": t("calendar"), "aria-expanded": "false", title: t("calendar") }, icon("calendar"));
  let month = new Date();

  const toggle = (/** @type {boolean} */ isOpen) => {
    box.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
  };

  function draw() {
    const first = new Date(month.getFullYear(), month.getMonth(), 1);
    const number = new Date(month.getFullYear(), month.getMonth() + 1, 0).getDate();
    const begin = (first.getDay() + 6) % 7; // weeks begin on Monday
    const title = first.toLocaleDateString(locale(), { month: "long", year: "numeric" });
    const current = new Date(chosen() * 1000).toDateString();
    const days = Array.from({ length: number }, (_, index) => {
      const date = new Date(month.getFullYear(), month.getMonth(), index + 1);
      const wall = date.getTime() / 1000;
      return h(
        "button",
        {
          type: "button",
          class: "quiet",
          disabled: wall + 86_400 < from || wall > until,
          "aria-current": date.toDateString() === current ? "date" : null,
          "aria-label": date.toLocaleDateString(locale(), { day: "numeric", month: "long", year: "numeric" }),
          onclick: () => {
            toggle(false);
            button.focus();
            onChoose(Math.max(wall, from));
          },
        },
        index + 1,
      );
    });
    const turn = (/** @type {number} */ by) => {
      month = new Date(month.getFullYear(), month.getMonth() + by, 1);
      draw();
    };
    fill(
      box,
      h(
        "header",
        {},
        h("strong", { class: "grow", "aria-live": "polite" }, title),
        h("button", { type: "button", class: "quiet only-icon", "aria-label": t("calendar.before"), onclick: () => turn(-1) }, icon("left")),
        h("button", { type: "button", class: "quiet only-icon", "aria-label": t("calendar.after"), onclick: () => turn(1) }, icon("right")),
      ),
      h("div", { class: "days" }, ...Array.from({ length: begin }, () => h("span", {})), ...days),
    );
  }

  const element = h("div", { class: "menu-box" }, button, box);
  button.addEventListener("click", () => {
    month = new Date(chosen() * 1000);
    draw();
    toggle(Boolean(box.hidden));
  });
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !box.hidden) {
      toggle(false);
      button.focus();
      event.stopPropagation();
    }
  });
  return element;
}
