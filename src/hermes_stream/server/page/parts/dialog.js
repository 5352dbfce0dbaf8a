// Questions that a view asks over itself: a native dialog, which holds focus and closes with Escape.

import { h } from "../ground/dom.js";
import { showFormError, unfold } from "../ground/notices.js";
import { t } from "../ground/texts.js";

/**
 * Show a dialog with a form; it closes when its work is done, and says what went wrong, beside the field if there is one.
 * It stays open where the work returns false: there is something to read.
 *
 * @param {object} options
 * @param {import("../ground/dom.js").Child} options.title
 * @param {import("../ground/dom.js").Child[]} options.content
 * @param {import("../ground/dom.js").Child} options.confirm
 * @param {() => Promise<unknown>} options.work
 * @param {boolean} [options.isDanger]
 * @param {() => void} [options.onClose]
 * @returns {HTMLDialogElement}
 */
export function formDialog({ title, content, confirm, work, isDanger, onClose }) {
  const told = h("div", {});
  const button = h("button", { class: isDanger ? "danger" : "primary" }, confirm);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, t("cancel"));
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "dialog-title" }, title),
    ...content,
    told,
    h("div", { class: "ends" }, cancel, button),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      if ((await work()) !== false) return dialog.close();
      showFormError(form, told, null);
      cancel.textContent = t("close");
    } catch (error) {
      showFormError(form, told, error);
    } finally {
      button.disabled = false;
    }
  });
  // a browser says what it does not take, but not within what is folded away
  form.addEventListener("invalid", (event) => unfold(/** @type {Element} */ (event.target)), true);
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * A labelled field.
 *
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  const line = hint ? h("span", { class: "hint" }, hint) : null;
  return h("label", { class: "field" }, h("span", { class: "label" }, label), control, line);
}

/** @param {string} label @param {HTMLInputElement} control */
export function check(label, control) {
  return h("label", { class: "check" }, control, label);
}

/**
 * A choice among few, as buttons.
 *
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} choices value and words
 * @param {T} chosen
 * @param {(value: T) => void} onChoose
 */
export function segments(label, choices, chosen, onChoose) {
  const buttons = choices.map(([value, text]) =>
    h("button", { type: "button", "data-value": value, "aria-pressed": String(value === chosen) }, text),
  );
  const element = h("div", { class: "segments", role: "group", "aria-label": label }, ...buttons);
  /** @param {T} value */
  const show = (value) =>
    buttons.forEach((one) => one.setAttribute("aria-pressed", String(one.dataset["value"] === value)));
  buttons.forEach((one) =>
    one.addEventListener("click", () => {
      const value = /** @type {T} */ (one.dataset["value"]);
      show(value);
      onChoose(value);
    }),
  );
  return { element, show };
}

/** @param {string} title @param {string} text @param {string} confirm @param {() => Promise<unknown>} work */
export function confirmDialog(title, text, confirm, work) {
  return formDialog({ title, content: [h("p", {}, text)], confirm, work, isDanger: true });
}
