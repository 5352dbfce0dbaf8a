// What may be done with a stream as a whole: another name, or its end.

import { send, streamPath } from "../ground/api.js";
import { h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { tell } from "../ground/notices.js";
import { sendings } from "../ground/pushing.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { field, formDialog } from "./dialog.js";

/**
 * A menu for a stream; none where this key may do nothing of it.
 *
 * @param {string} name
 * @param {(name: string | null) => void} [onChange] is told its new name, or that it is gone
 */
export function streamMenu(name, onChange) {
  const actions = [];
  if (store.may("admin")) {
    actions.push(h("button", { class: "quiet", onclick: () => rename(name, onChange) }, icon("edit"), t("rename")));
  }
  if (store.mayClose(name)) {
    actions.push(h("button", { class: "quiet danger", onclick: () => remove(name, onChange) }, icon("trash"), t("remove")));
  }
  if (!actions.length) return null;
  const list = h("div", { class: "menu", hidden: true }, ...actions);
  const button = h("button", { class: "quiet only-icon", "data-menu": name, "aria-label": t("streams.menu", { name }), "aria-expanded": "false" }, icon("more"));
  const box = h("div", { class: "menu-box" }, button, list);
  const toggle = (/** @type {boolean} */ isOpen) => {
    list.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
  };
  button.addEventListener("click", () => toggle(Boolean(list.hidden)));
  box.addEventListener("focusout", (event) => {
    if (!box.contains(/** @type {Node | null} */ (event.relatedTarget))) toggle(false);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    toggle(false);
    button.focus();
  });
  return box;
}

/** @param {string} name @param {(name: string | null) => void} [onChange] */
function rename(name, onChange) {
  let now = name;
  const input = h("input", { value: name, required: true, autocomplete: "off" });
  formDialog({
    title: t("rename.title", { name }),
    content: [field(t("name"), input)],
    confirm: t("rename"),
    work: async () => {
      const chosen = input.value.trim();
      await send("PATCH", streamPath(name), { name: chosen });
      await store.refresh();
      now = chosen;
      onChange?.(chosen);
    },
    onClose: () => goOnAt(now),
  });
}

/** @param {string} name @param {(name: string | null) => void} [onChange] */
function remove(name, onChange) {
  /** @type {string | null} */
  let now = name;
  const all = h("input", { type: "checkbox" });
  formDialog({
    title: t("remove.title", { name }),
    content: [h("p", {}, t("remove.text")), h("label", { class: "check" }, all, t("remove.all"))],
    confirm: t("remove"),
    isDanger: true,
    work: async () => {
      sendings.get(name)?.end();
      await send("DELETE", `${streamPath(name)}${all.checked ? "?delete=true" : ""}`);
      await store.refresh();
      tell(t("remove.done", { name }));
      now = null;
      onChange?.(null);
    },
    onClose: () => goOnAt(now),
  });
}

/** The keyboard goes on at a stream's menu; where it is gone, at the heading. @param {string | null} name */
function goOnAt(name) {
  const menu = name && document.querySelector(`[data-menu="${CSS.escape(name)}"]`);
  /** @type {HTMLElement | null} */ (menu || document.querySelector("main h1"))?.focus();
}
