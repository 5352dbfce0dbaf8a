// A memory as a snapshot has it, given back to its stream.

import { send, streamPath } from "../ground/api.js";
import { h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { tell } from "../ground/notices.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { confirmDialog } from "./dialog.js";

/**
 * A button for a snapshot; none where this key may not, or nobody knows which snapshot it is.
 *
 * @param {string} stream
 * @param {unknown} number of the snapshot
 * @param {string} when
 */
export function restoreButton(stream, number, when) {
  const isOpen = store.streams.has(stream);
  if (typeof number !== "number" || !isOpen || !store.may("admin")) return null;
  const restore = async () => {
    await send("POST", streamPath(stream, `/snapshots/${number}/restore`));
    tell(t("restore.done", { stream }));
  };
  const ask = () => confirmDialog(t("restore.title", { stream }), t("restore.text", { when }), t("restore"), restore);
  return h("button", { onclick: ask }, icon("save"), t("restore"));
}
