// Signs, drawn by lines of one width.

import { svg } from "./dom.js";

const PATHS = {
  streams: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  live: "M4 7h11v10H4zM15 11l5-3v8l-5-3",
  timeline: "M3 12h18M7 8v8M12 5v14M17 9v6",
  memory: "M12 4l8 4-8 4-8-4zM4 12l8 4 8-4M4 16l8 4 8-4",
  watches: "M12 4a6 6 0 0 1 6 6v4l2 3H4l2-3v-4a6 6 0 0 1 6-6zM10 20h4",
  record: "M6 4h12v16H6zM9 8h6M9 12h6M9 16h3",
  system: "M4 18v-5M9 18V6M14 18v-8M19 18V9",
  plus: "M12 5v14M5 12h14",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7z",
  stop: "M7 7h10v10H7z",
  send: "M5 12h13M12 6l6 6-6 6",
  close: "M6 6l12 12M18 6L6 18",
  search: "M11 5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM16 16l4 4",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  follow: "M5 6l7 6-7 6zM17 6v12",
  calendar: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4",
  link: "M10 14l4-4M8 12l-2 2a3 3 0 0 0 4 4l2-2M16 12l2-2a3 3 0 0 0-4-4l-2 2",
  save: "M12 4v10M7 10l5 5 5-5M5 20h14",
  info: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM12 11v5M12 8h.01",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  alarm: "M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 8v5M12 16h.01",
  good: "M5 12l5 5 9-10",
  gap: "M4 12h4M16 12h4M11 8l2 8",
  answer: "M4 5h16v11H10l-5 4v-4H4z",
  camera: "M4 7h4l2-2h4l2 2h4v12H4zM12 10a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
  screen: "M3 5h18v11H3zM9 20h6M12 16v4",
  network: "M12 18h.01M8 14a6 6 0 0 1 8 0M5 10.500a10 10 0 0 1 14 0",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  compare: "M4 5h7v14H4zM13 5h7v14h-7z",
  wall: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  mute: "M12 4a6 6 0 0 1 6 6v4l2 3H4l2-3M10 20h4M4 4l16 16",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  edit: "M5 19l1-4L16 5l3 3L9 18z",
  region: "M5 8l9-3 5 6-4 8-9-2zM5 8h.01M14 5h.01M19 11h.01M15 19h.01M6 17h.01",
  out: "M14 5H5v14h9M10 12h10M17 9l3 3-3 3",
  zoomIn: "M11 5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM16 16l4 4M11 8v6M8 11h6",
  zoomOut: "M11 5a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM16 16l4 4M8 11h6",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * Draw a sign; words beside it say what it means.
 *
 * @param {IconName} name
 */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
