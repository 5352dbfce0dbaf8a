// One stream: its picture, how it goes, and the conversation about it.

import { fill, h } from "../ground/dom.js";
import { preview } from "../ground/preview.js";
import { addressOf, go } from "../ground/router.js";
import { store, wallOf } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { clock, duration, number, percent, streamTime } from "../ground/time.js";
import { bar, empty, figures, stateBadge } from "../parts/badges.js";
import { Conversation } from "../parts/conversation.js";
import { latestOf } from "../parts/latest.js";
import { pauseButton } from "../parts/pausing.js";
import { head } from "../parts/shell.js";
import { streamMenu } from "../parts/stream_menu.js";

const FPS = 5;

/** @type {ViewShow} */
export function show(root, { stream }) {
  if (!stream) {
    root.append(head(t("nav.stream"), []), empty("camera", t("no.stream"), toStreams()));
    return;
  }
  const badge = h("span", {});
  const when = h("figcaption", { class: "small" });
  const shown = preview(stream, { fps: FPS, onPicture: (seconds) => drawTime(seconds) });
  const pause = pauseButton(true);
  const numbers = h("div", {});
  const reason = h("p", { class: "soft", hidden: true });
  const latest = latestOf(stream);
  const conversation = new Conversation(stream);

  /** @param {number} seconds */
  function drawTime(seconds) {
    const wall = wallOf(/** @type {string} */ (stream), seconds);
    when.textContent = wall === undefined ? streamTime(seconds) : `${clock(wall)} · ${streamTime(seconds)}`;
  }

  let state = "";
  function draw() {
    const status = store.streams.get(/** @type {string} */ (stream));
    const now = status?.state ?? "closed";
    if (now !== state) {
      state = now;
      fill(badge, stateBadge(now));
      shown.refresh();
    }
    reason.hidden = !status?.reason || now === "live";
    reason.textContent = status?.reason ?? "";
    if (status) fill(numbers, figures(figuresOf(status)), memoryBar(status));
    else fill(numbers, h("p", { class: "soft" }, t("stream.notOpen")));
  }

  root.append(
    head(stream, [badge], streamMenu(stream, (name) => go(name ? addressOf("stream", name) : addressOf("streams")))),
    h(
      "div",
      { class: "stream-view" },
      h(
        "section",
        { class: "seen", "aria-label": t("stream.picture") },
        h("figure", { class: "stage" }, shown.canvas, h("div", { class: "stage-tools" }, pause.element), when),
      ),
      conversation.element, // before the numbers: on a phone a question comes first
      h("div", { class: "seen facts" }, h("div", { class: "panel inside" }, reason, numbers), latest.element),
    ),
  );
  draw();
  const ends = [store.on("figures", draw), pause.end];
  return () => {
    ends.forEach((end) => end());
    shown.end();
    latest.end();
    conversation.end();
  };
}

export function toStreams() {
  return h("a", { class: "button", href: "#/streams" }, t("no.stream.link"));
}

/** @param {StreamStatus} status @returns {[string, string][]} */
function figuresOf(status) {
  const { decode, ring, engine } = status.dropped;
  const fps = status.declared_fps
    ? t("figure.fpsOf", { now: number(status.delivered_fps, 1), declared: number(status.declared_fps, 1) })
    : number(status.delivered_fps, 1);
  const drops = decode + ring + engine;
  /** @type {[string, string][]} */
  const found = [
    [t("figure.lag"), duration(status.lag_seconds)],
    [t("figure.fps"), fps],
    [t("figure.dropped"), drops ? t("figure.droppedAt", { number: drops, decode, ring, engine }) : "0"],
    [t("figure.frames"), number(status.num_frames)],
    [t("figure.reconnections"), number(status.num_reconnections)],
  ];
  if (status.memory?.ttft_seconds) found.push([t("figure.ttft"), duration(status.memory.ttft_seconds)]);
  return found;
}

/** @param {StreamStatus} status */
function memoryBar(status) {
  // a question behind a frame goes before the compression; what waits for it is over the budget, and says so
  const waiting = status.memory?.num_visual_tokens_over_budget ?? 0;
  const kept = (status.memory?.num_visual_tokens_kept ?? 0) - waiting;
  const budget = status.budget_tokens;
  const words = budget
    ? t("memory.fill", { kept: number(kept), budget: number(budget), share: percent(kept / budget) })
    : t("memory.kept", { kept: number(kept) });
  return h(
    "div",
    { class: "memory-line" },
    h("span", { class: "small faint" }, t("memory.by", { policy: status.policy })),
    budget ? bar(kept / budget, words, "long-term") : null,
    h("span", { class: "small" }, waiting ? `${words}, ${t("memory.over", { waiting: number(waiting) })}` : words),
  );
}
