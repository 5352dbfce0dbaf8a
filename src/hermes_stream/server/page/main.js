// The page begins here: who is there, what the server offers, then the view that the address names.

import { ApiError } from "./ground/api.js";
import { fill, h } from "./ground/dom.js";
import { beginNotices } from "./ground/notices.js";
import { applyTheme } from "./ground/prefs.js";
import { addressOf, here, note } from "./ground/router.js";
import { store } from "./ground/store.js";
import { applyLanguage, t } from "./ground/texts.js";
import { Shell } from "./parts/shell.js";
import { signIn } from "./views/sign_in.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));

/** @type {Record<string, () => Promise<{show: ViewShow}>>} */
const VIEWS = {
  streams: () => import("./views/streams.js"),
  stream: () => import("./views/stream.js"),
  timeline: () => import("./views/timeline.js"),
  memory: () => import("./views/memory.js"),
  watches: () => import("./views/watches.js"),
  record: () => import("./views/record.js"),
  system: () => import("./views/system.js"),
};
const missing = () => import("./views/missing.js");

async function begin() {
  applyTheme();
  applyLanguage();
  try {
    await store.begin();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return signIn(root, () => location.reload());
    return cannotBegin(error);
  }
  store.on("signed-out", () => location.reload());
  const shell = new Shell();
  fill(root, shell.element);
  beginNotices(document.body);
  const turn = new Turning(shell);
  window.addEventListener("hashchange", () => void turn.to());
  document.addEventListener("language", () => {
    applyLanguage();
    shell.draw();
    void turn.to(true);
  });
  await turn.to();
}

/** @param {unknown} error */
function cannotBegin(error) {
  const text = error instanceof Error ? error.message : String(error);
  const again = h("button", { class: "primary", onclick: () => location.reload() }, t("try.again"));
  fill(root, h("main", { class: "sign-in" }, h("div", { class: "panel" }, h("h1", {}, "hermes-stream"), h("p", { role: "alert" }, text), again)));
  setTimeout(() => location.reload(), 8_000);
}

/** Shows one view at a time, and ends the one before. */
class Turning {
  /** @param {Shell} shell */
  constructor(shell) {
    this._shell = shell;
    /** @type {(() => void) | void} */
    this._end = undefined;
    this._shown = "";
    this._number = 0;
  }

  /** @param {boolean} [again] */
  async to(again) {
    if (!here().view) note(addressOf("streams"));
    const place = here();
    const name = Object.hasOwn(VIEWS, place.view) ? place.view : "missing";
    const shown = `${place.view}/${place.stream ?? ""}`;
    if (shown === this._shown && !again) {
      // the same view: it reads the rest of the address itself
      document.dispatchEvent(new CustomEvent("place", { detail: place }));
      return;
    }
    const number = ++this._number;
    const load = VIEWS[name] ?? missing;
    const view = await load().catch(() => null);
    if (!view) return location.reload(); // the server has a newer page
    if (number !== this._number) return; // another place was asked for meanwhile
    const isFirst = this._shown === "";
    this._shown = shown;
    this._end?.();
    const main = this._shell.open(name, place.stream);
    this._end = view.show(main, place);
    const title = main.querySelector("h1");
    document.title = `${title?.textContent ?? name} · hermes-stream`;
    if (!isFirst) title?.focus();
    window.scrollTo(0, 0);
  }
}

void begin();
