// The record as files: JSON as the API tells it, CSV for tables.

import { h } from "../ground/dom.js";

const COLUMNS = ["id", "kind", "stream", "epoch", "pts_seconds", "wall_seconds", "time", "picture_url", "payload"];
// a table program takes these at the beginning of a cell for a formula
const FORMULA = /^[=+\-@\t\r]/;

/** @param {ServerEventBody[]} events */
export function asJson(events) {
  return new Blob([JSON.stringify({ object: "list", data: events }, null, 1)], { type: "application/json" });
}

/** @param {ServerEventBody[]} events */
export function asCsv(events) {
  const lines = events.map((event) => {
    /** @type {Record<string, unknown>} */
    const row = { ...event, time: new Date(event.wall_seconds * 1000).toISOString(), payload: JSON.stringify(event.payload) };
    return COLUMNS.map((name) => cell(row[name])).join(",");
  });
  return new Blob([`${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`], { type: "text/csv" });
}

/** @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(String(value)) ? `'${value}` : String(value);
  return `"${text.replaceAll('"', '""')}"`;
}

/** @param {string} name @param {Blob} content */
export function saveFile(name, content) {
  const url = URL.createObjectURL(content);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
