// Server-sent events over fetch: unlike EventSource it names every kind, sends the last id, and says why it failed.

import { ApiError, errorOf } from "./api.js";

const QUIET_MS = 40_000;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 8_000;

/** @typedef {{event: string, data: string, id: string | null}} ServerEvent */

/**
 * Read a response as events.
 *
 * @param {Response} response
 * @param {() => void} [heard] called at every sign of life, comments too
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* readEvents(response, heard) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard?.();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = eventOf(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** @param {string} block @returns {ServerEvent | null} */
function eventOf(block) {
  /** @type {string[]} */
  const lines = [];
  let event = "message";
  /** @type {string | null} */
  let id = null;
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) lines.push(line.slice(line[5] === " " ? 6 : 5));
    else if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  return lines.length || id !== null ? { event, data: lines.join("\n"), id } : null;
}

/**
 * Follow events for as long as wanted: opened again after every loss, behind the last that came.
 *
 * @param {string} path
 * @param {object} hooks
 * @param {(event: ServerEvent) => void} hooks.onEvent
 * @param {(id: string) => void} [hooks.onId] told how far it is, also where nothing came yet
 * @param {(isOpen: boolean) => void} [hooks.onState]
 * @param {(error: ApiError) => boolean} [hooks.onRefused] returns whether to try again
 * @returns {() => void} ends it
 */
export function follow(path, { onEvent, onId, onState, onRefused }) {
  const ending = new AbortController();
  /** @type {string | null} */
  let last = null;

  async function once() {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    ending.signal.addEventListener("abort", abort);
    let timer = window.setTimeout(abort, QUIET_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = window.setTimeout(abort, QUIET_MS);
    };
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (last !== null) headers["Last-Event-ID"] = last;
      const response = await fetch(path, { headers, signal: attempt.signal, cache: "no-store" });
      if (!response.ok) throw await errorOf(response);
      onState?.(true);
      for await (const event of readEvents(response, heard)) {
        if (event.id !== null) {
          last = event.id;
          onId?.(last);
        }
        if (event.event === "error") throw toldError(event.data); // such as a key that was revoked
        if (event.data) onEvent(event);
      }
    } finally {
      clearTimeout(timer);
      ending.signal.removeEventListener("abort", abort);
    }
  }

  async function forEver() {
    let pause = FIRST_PAUSE_MS;
    while (!ending.signal.aborted) {
      const began = Date.now();
      try {
        await once();
      } catch (error) {
        if (error instanceof ApiError && error.status < 500 && error.status !== 429) {
          if (!onRefused?.(error)) return;
        }
      }
      if (ending.signal.aborted) return;
      onState?.(false);
      if (Date.now() - began > 5_000) pause = FIRST_PAUSE_MS;
      await waited(pause * (0.75 + Math.random() / 2), ending.signal);
      pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
    }
  }

  void forEver();
  return () => ending.abort();
}

/** @param {string} data */
function toldError(data) {
  const { message, code } = JSON.parse(data).error;
  return new ApiError(message, code === "wrong_key" || code === "no_key" ? 401 : 503, code);
}

/**
 * Wait, but no longer than until the network is there again.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 */
function waited(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve(undefined);
    };
    const timer = window.setTimeout(done, ms);
    window.addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
