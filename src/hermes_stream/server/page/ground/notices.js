// What the page says by itself: notes that go again, and alerts with picture, sound and notification.

import { ApiError, request } from "./api.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { pref } from "./prefs.js";
import { addressOf, go } from "./router.js";
import { store, wallOf } from "./store.js";
import { t } from "./texts.js";
import { clock } from "./time.js";

const SHOWN_MS = 7_000;
const ALERT_MS = 20_000;
const MOST = 4;

const place = h("div", { class: "notices", role: "region", "aria-label": t("notices.title") });
const spoken = h("p", { class: "hidden-text", role: "status" });

/** @param {Element} root */
export function beginNotices(root) {
  root.append(place, spoken);
  store.on("event", (event) => {
    if (event.kind === "alert_raised") void raise(event);
  });
}

/**
 * Say something, once, to eyes and ears.
 *
 * @param {string} text
 * @param {object} [options]
 * @param {"info" | "warning" | "alarm"} [options.severity]
 * @param {string | null} [options.picture]
 * @param {string} [options.address] where a click leads
 * @param {boolean} [options.isAlert] says how bad, in a word
 * @param {number} [options.ms]
 */
export function tell(text, { severity = "info", picture, address, isAlert, ms = SHOWN_MS } = {}) {
  const close = h("button", { class: "quiet only-icon", "aria-label": t("close") }, icon("close"));
  const note = h(
    "div",
    { class: `notice ${severity}` },
    picture ? h("img", { src: picture, alt: "" }) : icon(severity),
    h("div", { class: "grow" }, isAlert ? h("span", { class: `badge ${severity}` }, icon(severity), t(`severity.${severity}`)) : null, h("p", {}, address ? h("a", { href: address }, text) : text)),
    close,
  );
  close.addEventListener("click", () => note.remove());
  place.append(note);
  while (place.childElementCount > MOST) place.firstElementChild?.remove();
  setTimeout(() => note.remove(), ms);
  spoken.textContent = text;
}

/** @param {unknown} error */
export function tellError(error) {
  tell(error instanceof Error ? error.message : String(error), { severity: "alarm" });
}

/** @param {unknown} error */
export function errorLine(error) {
  return h("p", { class: "told-error", role: "alert" }, icon("alarm"), error instanceof Error ? error.message : String(error));
}

/** @param {Element} place_ @param {unknown} error */
export function showError(place_, error) {
  fill(place_, errorLine(error));
}

/**
 * Say what went wrong beside the field that the server names, or else in a place.
 *
 * @param {HTMLFormElement} form its controls bear the names of the API
 * @param {Element} place_
 * @param {unknown} error null takes away what was said
 */
export function showFormError(form, place_, error) {
  fill(place_);
  form.querySelectorAll("[aria-invalid]").forEach((one) => one.removeAttribute("aria-invalid"));
  form.querySelectorAll("label > .told-error").forEach((one) => one.remove());
  if (error === null) return;
  const control = error instanceof ApiError ? controlOf(form, error) : null;
  const label = control?.closest("label");
  if (!control || !label) {
    showError(place_, error);
    return;
  }
  unfold(control);
  control.setAttribute("aria-invalid", "true");
  label.append(errorLine(error));
  control.focus();
}

/** Open what an element is folded away in. @param {Element} element */
export function unfold(element) {
  for (let one = element.closest("details"); one; one = one.parentElement?.closest("details") ?? null) one.open = true;
}

/** @param {HTMLFormElement} form @param {ApiError} error @returns {HTMLElement | null} */
function controlOf(form, error) {
  // an error without a field begins with its name, if it is of one alone
  const names = (error.param ?? /^[\w.]+/.exec(error.message)?.[0] ?? "").split(".").reverse();
  const found = /** @type {HTMLElement | undefined} */ (names.map((name) => form.elements.namedItem(name)).find((one) => one instanceof Node));
  return found && !found.closest("[hidden]") ? found : null;
}

/** @param {ServerEventBody} event */
async function raise(event) {
  const { question, name, severity = "warning", incident } = event.payload;
  const wall = wallOf(event.stream ?? "", event.pts_seconds) ?? event.wall_seconds;
  const text = t("alert.raised", { stream: event.stream ?? "", what: name || question, time: clock(wall) });
  const address = addressOf("timeline", event.stream, { at: event.pts_seconds ?? undefined, incident });
  tell(text, { severity, picture: event.picture_url, address, isAlert: true, ms: ALERT_MS });
  if (pref("sound", false)) sound(severity);
  if (pref("notify", false)) void notify(text, event, address);
}

/** @type {AudioContext | null} */
let audio = null;

/** Two short tones, higher where it matters more. @param {string} severity */
export function sound(severity) {
  audio ??= new AudioContext();
  const base = severity === "alarm" ? 880 : severity === "warning" ? 660 : 520;
  for (const [index, step] of [1, 1.26].entries()) {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    const at = audio.currentTime + index * 0.16;
    tone.frequency.value = base * step;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.16, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.15);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.16);
  }
}

/** One notification for one incident, also where it is told again. @param {string} text @param {ServerEventBody} event @param {string} address */
async function notify(text, event, address) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const icon_ = event.picture_url ? await blobUrl(event.picture_url) : undefined;
  const told = new Notification("hermes-stream", {
    body: text,
    tag: String(event.payload["incident"] ?? event.id),
    ...(icon_ ? { icon: icon_ } : {}),
  });
  told.onclick = () => {
    window.focus();
    go(address);
  };
}

/** @param {string} path */
async function blobUrl(path) {
  try {
    const url = URL.createObjectURL(await (await request("GET", path)).blob());
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    return url;
  } catch {
    return undefined;
  }
}
