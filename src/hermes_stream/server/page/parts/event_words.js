// Events in words, and their signs.

import { hasText, t } from "../ground/texts.js";
import { duration } from "../ground/time.js";

/** A recording's end is as it should be; what was lost is not. @type {Record<string, [import("../ground/icons.js").IconName, string]>} */
const SOURCE_SIGNS = {
  opened: ["good", "good"],
  reconnected: ["good", "good"],
  disconnected: ["warning", "warning"],
  failed: ["alarm", "alarm"],
  ended: ["stop", ""],
  sleeping: ["pause", ""],
};

/** @param {ServerEventBody} event */
export function eventWords(event) {
  const { kind, payload } = event;
  if (kind === "answered") return t("event.answered", { question: payload["question"] ?? "", answer: payload["answer"] ?? "" });
  if (kind === "gap") return t("item.gap", { time: duration(payload["seconds"] ?? 0) });
  if (kind === "frames_dropped") return t("item.dropped", { number: (payload["decode"] ?? 0) + (payload["ring"] ?? 0) + (payload["engine"] ?? 0) });
  if (kind === "source_state") {
    const words = hasText(`source.${payload["what"]}`) ? t(`source.${payload["what"]}`) : String(payload["what"] ?? payload["state"]);
    return payload["reason"] ? `${words}: ${payload["reason"]}` : words;
  }
  const words = hasText(`event.${kind}`) ? t(`event.${kind}`) : kind.replaceAll("_", " ");
  const about = payload["name"] ?? payload["question"] ?? payload["reason"] ?? "";
  const value = payload["value"] === undefined || payload["value"] === null ? "" : String(payload["value"]);
  return [words, about, value].filter(Boolean).join(" · ");
}

/** @param {ServerEventBody} event @returns {[import("../ground/icons.js").IconName, string]} sign, and how bad */
export function eventSign({ kind, payload }) {
  if (kind === "alert_raised") {
    const severity = /** @type {"info" | "warning" | "alarm"} */ (payload["severity"] ?? "warning");
    return [severity, severity];
  }
  if (["engine_failed", "snapshot_failed", "watch_failed"].includes(kind)) return ["alarm", "alarm"];
  if (["gap", "frames_dropped"].includes(kind)) return ["gap", "warning"];
  if (kind === "source_state") return SOURCE_SIGNS[payload["what"]] ?? ["info", ""];
  if (kind === "answered") return ["answer", ""];
  if (kind.startsWith("snapshot")) return ["save", ""];
  if (kind === "policy_changed") return ["memory", ""];
  return ["info", ""];
}
