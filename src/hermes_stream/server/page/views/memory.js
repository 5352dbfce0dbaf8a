// What a stream remembers, as it changes; the policy by menu, and two policies side by side.

import { get, send, socketUrl, streamPath } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { tell, tellError } from "../ground/notices.js";
import { pref, setPref } from "../ground/prefs.js";
import { sendTo, sendings } from "../ground/pushing.js";
import { addressOf, go } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { Asking } from "../parts/asking.js";
import { empty } from "../parts/badges.js";
import { field, formDialog, segments } from "../parts/dialog.js";
import { MemoryPanel } from "../parts/memory_panel.js";
import { pauseButton } from "../parts/pausing.js";
import { head } from "../parts/shell.js";
import { Turn } from "../parts/turn.js";
import { toStreams } from "./stream.js";

const RELAY_PAUSE_MS = 2_000;
/** @type {Promise<Policy[]> | undefined} */
let policies;

/** @type {ViewShow} */
export function show(root, { stream, query }) {
  if (!stream) {
    root.append(head(t("nav.memory"), []), empty("memory", t("no.stream"), toStreams()));
    return;
  }
  const other = query.get("with");
  const chosen = pref("memoryBy", /** @type {"tiers" | "layers"} */ ("tiers"));
  const by = segments(t("memory.show"), [["tiers", t("memory.tiers")], ["layers", t("memory.layers")]], chosen, (value) => {
    setPref("memoryBy", value);
    panels.forEach((one) => one.setByLayer(value === "layers"));
  });
  const panels = [new MemoryPanel(stream, chosen === "layers", changeButton(stream))];
  if (other) panels.push(new MemoryPanel(other, chosen === "layers", changeButton(other), endButton(stream, other)));
  const compare = store.may("admin") && !other ? h("button", { onclick: () => compareDialog(stream) }, icon("compare"), t("memory.compare")) : null;
  const pause = pauseButton();
  root.append(
    head(t("nav.memory"), [h("span", { class: "soft" }, stream)], by.element, pause.element, compare),
    h("p", { class: "soft lead" }, t("memory.lead")),
    h("div", { class: other ? "memories two" : "memories" }, ...panels.map((one) => one.element)),
    other && store.may("ask") ? askBoth([stream, other]) : "",
  );
  const again = (/** @type {any} */ event) => {
    // the same view with another comparison
    if (event.detail.query.get("with") !== other) document.dispatchEvent(new CustomEvent("language"));
  };
  document.addEventListener("place", again);
  return () => {
    document.removeEventListener("place", again);
    pause.end();
    panels.forEach((one) => one.end());
  };
}

/** @param {string} stream */
function changeButton(stream) {
  if (!store.may("admin")) return null;
  return h("button", { onclick: () => policyDialog(stream) }, t("memory.change"));
}

/** @param {string} policy @param {number | null | undefined} budget */
function policyFields(policy, budget) {
  const select = h("select", {});
  const summary = h("p", { class: "small soft" });
  const tokens = h("input", { type: "number", min: "1", step: "1", value: String(budget ?? "") });
  policies ??= get("/v1/policies").then((found) => found.data);
  policies.catch(() => (policies = undefined)); // asked for again the next time
  void policies.then((found) => {
    fill(select, ...found.map((one) => h("option", { value: one.name }, one.name)));
    if (!found.some((one) => one.name === policy)) select.append(h("option", { value: policy }, policy));
    select.value = policy;
    const draw = () => {
      const one = found.find((each) => each.name === select.value);
      summary.textContent = one ? `${one.summary}${one.paper ? ` (${one.paper})` : ""}` : "";
    };
    select.addEventListener("change", draw);
    draw();
  }, tellError);
  const content = [field(t("memory.policy"), select), summary, field(t("memory.budget"), tokens, t("memory.budgetHow"))];
  const chosen = () => ({ policy: select.value, ...(tokens.value ? { budget_tokens: Number(tokens.value) } : {}) });
  return { content, chosen };
}

/** @param {string} stream */
function policyDialog(stream) {
  const status = store.streams.get(stream);
  const { content, chosen } = policyFields(status?.policy ?? "hermes", status?.budget_tokens);
  formDialog({
    title: t("memory.changeTitle", { name: stream }),
    content,
    confirm: t("memory.apply"),
    work: async () => {
      await send("PATCH", streamPath(stream), chosen());
      await store.refresh();
    },
  });
}

/** @param {string} stream */
function compareDialog(stream) {
  const status = store.streams.get(stream);
  const { content, chosen } = policyFields("window", status?.budget_tokens);
  formDialog({
    title: t("memory.compareTitle"),
    content: [h("p", {}, t("memory.compareHow", { name: stream })), ...content],
    confirm: t("memory.compare"),
    work: async () => {
      const wanted = chosen();
      const name = freeName(`${stream}-${wanted.policy}`.replaceAll(/[^A-Za-z0-9._-]/g, "-").slice(0, 60));
      await send("POST", streamPath(stream, "/fork"), { name });
      try {
        await send("PATCH", streamPath(name), wanted);
      } catch (error) {
        await send("DELETE", `${streamPath(name)}?delete=true`);
        throw error;
      }
      relay(stream, name, status?.fps ?? 1);
      await store.refresh();
      go(addressOf("memory", stream, { with: name }));
    },
  });
}

/** @param {string} name */
function freeName(name) {
  for (let number = 1; ; number += 1) {
    const found = number === 1 ? name : `${name}-${number}`;
    if (!store.streams.has(found)) return found;
  }
}

/**
 * Show the second stream what the first is shown: its previews, with their times, as they come.
 *
 * @param {string} from
 * @param {string} to
 * @param {number} fps
 */
function relay(from, to, fps) {
  /** @type {ArrayBuffer | null} */
  let newest = null;
  let again = 0;
  /** @type {WebSocket} */
  let socket;
  const open = () => {
    socket = new WebSocket(socketUrl(streamPath(from, "/preview")));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (newest = data);
    socket.onclose = () => (again = window.setTimeout(open, RELAY_PAUSE_MS));
  };
  const close = () => {
    socket.onclose = null;
    clearTimeout(again);
    socket.close();
  };
  const take = async () => {
    const taken = newest;
    newest = null;
    return taken && { encoded: taken.slice(8), seconds: Number(new DataView(taken).getBigUint64(0)) / 1e6 };
  };
  open();
  sendTo(to, { take, fps: Math.max(2, fps * 2), what: t("memory.relay", { name: from }), onEnd: close });
}

/** @param {string} stream @param {string} other */
function endButton(stream, other) {
  if (!store.may("admin")) return null;
  const end = async () => {
    try {
      sendings.get(other)?.end();
      await send("DELETE", `${streamPath(other)}?delete=true`);
      await store.refresh();
      tell(t("memory.compareEnded"));
      go(addressOf("memory", stream));
    } catch (error) {
      tellError(error);
    }
  };
  return h("button", { onclick: end }, icon("close"), t("memory.compareEnd"));
}

/** @param {string[]} streams */
function askBoth(streams) {
  const question = h("input", { required: true, autocomplete: "off", placeholder: t("ask.placeholder") });
  const answers = h("div", { class: "memories two" });
  const form = h("form", { class: "row" }, h("label", { class: "grow" }, h("span", { class: "hidden-text" }, t("ask.question")), question), h("button", { class: "primary" }, t("memory.askBoth")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = question.value.trim();
    const turns = streams.map((stream) => new Turn(stream, text, store.now()));
    fill(answers, ...turns.map((turn) => turn.element));
    turns.forEach(async (turn, index) => {
      try {
        const asking = new Asking(streams[index] ?? "", { question: text, options: [], remember: false, earlier: [] });
        for await (const step of asking.steps()) "text" in step ? turn.add(step.text) : turn.end(step.answer);
      } catch (error) {
        turn.fail(error);
      }
    });
  });
  return h("section", { class: "panel ask-both", "aria-label": t("memory.askBoth") }, h("div", { class: "inside fields" }, form, answers));
}
