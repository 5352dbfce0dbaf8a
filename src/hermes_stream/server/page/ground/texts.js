// Words of the page, in the reader's language.

import { pref, setPref } from "./prefs.js";
import { TEXTS } from "./text_table.js";

/** @typedef {"en" | "de"} Language */

/** @returns {Language} */
export function language() {
  const chosen = pref("language", "auto");
  const wanted = chosen === "auto" ? navigator.language : chosen;
  return wanted.startsWith("de") ? "de" : "en";
}

/** How numbers and times are written. */
export function locale() {
  return language() === "de" ? "de-DE" : "en-GB";
}

/**
 * Say something; of one thing as of one, where the table has a row for that.
 *
 * @param {string} key
 * @param {Record<string, string | number>} [values] what stands in braces
 */
export function t(key, values = {}) {
  const row = (String(values["number"]) === "1" && TEXTS[`${key}.single`]) || TEXTS[key];
  if (!row) return key.slice(key.lastIndexOf(".") + 1).replaceAll("_", " ");
  return row[language() === "de" ? 1 : 0].replaceAll(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** @param {string} key */
export function hasText(key) {
  return key in TEXTS;
}

/** @param {string} chosen */
export function setLanguage(chosen) {
  setPref("language", chosen);
  document.dispatchEvent(new CustomEvent("language"));
}

/** Say in the document which language it is in. */
export function applyLanguage() {
  document.documentElement.lang = language();
}
