// A pause for everything that moves by itself: pictures, and the drawing of a memory.

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { pref, setPref } from "../ground/prefs.js";
import { whenPaused } from "../ground/preview.js";
import { t } from "../ground/texts.js";

/** @param {boolean} [onlyIcon] */
export function pauseButton(onlyIcon) {
  const button = h("button", { class: onlyIcon ? "only-icon" : null, onclick: toggle });
  const draw = (/** @type {boolean} */ isPaused) => {
    const words = t(isPaused ? "pictures.play" : "pictures.pause");
    fill(button, icon(isPaused ? "play" : "pause"), onlyIcon ? null : words);
    if (onlyIcon) button.setAttribute("aria-label", words);
  };
  draw(pref("paused", false));
  return { element: button, end: whenPaused(draw) };
}

function toggle() {
  setPref("paused", !pref("paused", false));
  document.dispatchEvent(new CustomEvent("previews"));
}
