// Addresses of the page: `#/timeline/door?at=12.5`. Every place can be linked to.

/** @typedef {{view: string, stream: string | null, query: URLSearchParams}} Place */

/** @returns {Place} */
export function here() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", stream = ""] = path.split("/").map(decoded);
  return { view, stream: stream || null, query: new URLSearchParams(query) };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} view
 * @param {string | null} [stream]
 * @param {Record<string, string | number | undefined>} [query]
 */
export function addressOf(view, stream, query = {}) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) found.set(name, String(value));
  const text = found.toString();
  return `#/${view}${stream ? `/${encodeURIComponent(stream)}` : ""}${text && `?${text}`}`;
}

/** @param {string} address */
export function go(address) {
  location.hash = address;
}

/** Say in the address where we are, without going anywhere. @param {string} address */
export function note(address) {
  history.replaceState(null, "", address);
}
