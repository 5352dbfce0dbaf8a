// What this browser remembers: how the page looks, and what the user set. Never a key.

const NAME = "hermes-stream";

/** @type {Record<string, any>} */
const kept = read();

function read() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/**
 * @template T
 * @param {string} name
 * @param {T} otherwise
 * @returns {T}
 */
export function pref(name, otherwise) {
  return kept[name] ?? otherwise;
}

/** @param {string} name @param {unknown} value */
export function setPref(name, value) {
  kept[name] = value;
  try {
    localStorage.setItem(NAME, JSON.stringify(kept));
  } catch {
    // a private window may keep nothing; the page goes on without
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Show the page dark or light, as chosen or as the system is. */
export function applyTheme() {
  const chosen = pref("theme", "auto");
  document.documentElement.dataset["theme"] = chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen;
  document.dispatchEvent(new CustomEvent("theme"));
}

dark.addEventListener("change", applyTheme);

/** Whether things may move by themselves. */
export function mayMove() {
  return !matchMedia("(prefers-reduced-motion: reduce)").matches;
}
