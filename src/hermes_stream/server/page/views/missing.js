// An address that leads nowhere.

import { h } from "../ground/dom.js";
import { addressOf } from "../ground/router.js";
import { t } from "../ground/texts.js";
import { empty } from "../parts/badges.js";
import { head } from "../parts/shell.js";

/** @type {ViewShow} */
export function show(root) {
  const back = h("a", { class: "button", href: addressOf("streams") }, t("missing.back"));
  root.append(head(t("missing.title"), []), empty("search", t("missing.text", { address: location.hash.slice(0, 200) }), back));
}
