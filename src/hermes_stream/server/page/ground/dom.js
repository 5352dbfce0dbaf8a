// Elements without markup in strings: what a stream, a model or a camera says is never read as HTML.

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, any>} Props
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag its name
 * @param {Props | null} [props] attributes; `onclick` and the like listen, `style` sets properties
 * @param {...(Child | Child[])} children what is in it
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  set(element, props ?? {});
  element.append(...nodes(children));
  return element;
}

/**
 * Make an element of a drawing.
 *
 * @param {string} tag
 * @param {Props} props
 * @param {...(Child | Child[])} children
 */
export function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, props);
  element.append(...nodes(children));
  return element;
}

/**
 * Put other children into an element.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * Put other children into an element, and the focus back to where it was: onto what has the same `data-id`.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function refill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement?.getAttribute("data-id") : null;
  fill(element, ...children);
  if (focused) /** @type {HTMLElement | null} */ (element.querySelector(`[data-id="${CSS.escape(focused)}"]`))?.focus();
}

/**
 * Set a text, and touch nothing where it is the same: a reader's place, and a screen reader, stay undisturbed.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {Props} props
 */
function set(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") {
      for (const [property, one] of Object.entries(value)) {
        /** @type {HTMLElement} */ (element).style.setProperty(property, String(one));
      }
    } else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {HTMLInputElement} */ (element).value = value;
    else if (name === "checked") /** @type {HTMLInputElement} */ (element).checked = Boolean(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
function nodes(children) {
  /** @type {(Node | string)[]} */
  const found = [];
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false || child === "") continue;
    found.push(child instanceof Node ? child : String(child));
  }
  return found;
}
