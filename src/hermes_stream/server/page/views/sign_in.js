// Signing in: a key for a cookie that no script can read.

import { send } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { showError } from "../ground/notices.js";
import { t } from "../ground/texts.js";
import { field } from "../parts/dialog.js";

/** @param {HTMLElement} root @param {() => void} onSignedIn */
export function signIn(root, onSignedIn) {
  const key = h("input", { type: "password", name: "key", autocomplete: "current-password", required: true });
  const failure = h("div", {});
  const button = h("button", { class: "primary" }, t("signin.button"));
  const form = h(
    "form",
    { class: "panel" },
    h("h1", {}, t("signin.title")),
    h("p", { class: "soft" }, t("signin.how")),
    field(t("signin.key"), key),
    failure,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await send("POST", "/v1/login", { key: key.value.trim() });
      onSignedIn();
    } catch (error) {
      showError(failure, error);
    } finally {
      button.disabled = false;
    }
  });
  document.title = `${t("signin.title")} · hermes-stream`;
  fill(root, h("main", { class: "sign-in" }, form));
  key.focus();
}
