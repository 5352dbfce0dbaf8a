// The server's API, as every client uses it; errors in the server's own words.

import { t } from "./texts.js";

/** What a server refuses, or that it cannot be reached. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 where no answer came
   * @param {string | null} [code]
   * @param {string | null} [param] the field at fault, with dots for what is within it
   */
  constructor(message, status, code = null, param = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

/** @param {Response} response */
export async function errorOf(response) {
  const body = await response.json().catch(() => null);
  const told = body?.error;
  const message = told?.message ?? t("error.status", { status: response.status });
  return new ApiError(message, response.status, told?.code, told?.param);
}

/**
 * Ask the server.
 *
 * @param {string} method
 * @param {string} path
 * @param {object} [options]
 * @param {unknown} [options.json] body
 * @param {FormData} [options.form] body
 * @param {Record<string, unknown>} [options.query] what is empty is left out
 * @param {AbortSignal} [options.signal]
 * @param {Record<string, string>} [options.headers]
 * @returns {Promise<Response>}
 */
export async function request(method, path, { json, form, query, signal, headers } = {}) {
  /** @type {RequestInit} */
  const init = { method, headers: { ...headers } };
  if (signal) init.signal = signal;
  if (form) init.body = form;
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers = { "Content-Type": "application/json", ...headers };
  }
  let response;
  try {
    response = await fetch(path + queryOf(query ?? {}), init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(t("error.unreachable"), 0);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** @param {string} path @param {Record<string, unknown>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, query, signal) {
  const response = await request("GET", path, { query: query ?? {}, ...(signal ? { signal } : {}) });
  return response.json();
}

/** @param {string} method @param {string} path @param {unknown} [json] @returns {Promise<any>} */
export async function send(method, path, json) {
  const response = await request(method, path, json === undefined ? {} : { json });
  return response.status === 204 ? null : response.json();
}

/** @param {Record<string, unknown>} query */
export function queryOf(query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) value.forEach((one) => found.append(name, String(one)));
    else if (value !== undefined && value !== null && value !== "") found.append(name, String(value));
  }
  const text = found.toString();
  return text && `?${text}`;
}

/** @param {string} name @param {string} [rest] */
export function streamPath(name, rest = "") {
  return `/v1/streams/${encodeURIComponent(name)}${rest}`;
}

/** @param {string} path */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}
