// Mouse, fingers and wheel over a timeline: point, pan, zoom.

const MOVED = 4;

/**
 * @param {HTMLElement} element
 * @param {import("./timeline_window.js").TimeWindow} seen
 * @param {object} hooks
 * @param {() => void} hooks.onPan
 * @param {(wall: number) => void} hooks.onStand
 * @param {() => void} hooks.onChange
 * @param {(share: number | null) => void} hooks.onHover
 * @returns {() => void} ends it
 */
export function pointers(element, seen, { onPan, onStand, onChange, onHover }) {
  /** @type {Map<number, number>} where each finger is */
  const down = new Map();
  let moved = 0;
  let apart = 0;
  let isCursor = false;

  const shareOf = (/** @type {number} */ x) => {
    const box = element.getBoundingClientRect();
    return (x - box.left) / Math.max(1, box.width);
  };
  const spread = () => {
    const [a = 0, b = 0] = [...down.values()];
    return Math.max(0.02, Math.abs(a - b));
  };

  /** @param {PointerEvent} event */
  function onDown(event) {
    if (event.button || /** @type {Element} */ (event.target).closest(".mark")) return;
    down.set(event.pointerId, shareOf(event.clientX));
    moved = 0;
    isCursor = Boolean(/** @type {Element} */ (event.target).closest("[role=slider]"));
    if (down.size === 2) apart = spread();
  }

  /** @param {PointerEvent} event */
  function onMove(event) {
    const share = shareOf(event.clientX);
    const before = down.get(event.pointerId);
    if (before === undefined) return onHover(event.pointerType === "mouse" ? share : null);
    down.set(event.pointerId, share);
    moved += Math.abs(event.movementX) + Math.abs(event.movementY);
    if (down.size === 2) {
      const now = spread();
      seen.zoom(apart / now, [...down.values()].reduce((a, b) => a + b, 0) / 2);
      apart = now;
    } else if (moved > MOVED) {
      if (!element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
      if (isCursor) return onStand(seen.wallAt(share));
      seen.center -= (share - before) * seen.span;
      if (seen.mode === "follow") return onPan();
    }
    onChange();
  }

  /** @param {PointerEvent} event */
  function onUp(event) {
    if (!down.delete(event.pointerId)) return;
    if (event.type === "pointerup" && moved <= MOVED && !down.size && !isCursor) onStand(seen.wallAt(shareOf(event.clientX)));
  }

  /** @param {WheelEvent} event */
  function onWheel(event) {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      seen.center += (event.deltaX / Math.max(1, element.clientWidth)) * seen.span;
      if (seen.mode === "follow") return onPan();
    } else seen.zoom(Math.exp(event.deltaY * 0.002), seen.mode === "follow" ? undefined : shareOf(event.clientX));
    onChange();
  }

  const leave = () => onHover(null);
  element.addEventListener("pointerdown", onDown);
  element.addEventListener("pointermove", onMove);
  element.addEventListener("pointerup", onUp);
  element.addEventListener("pointercancel", onUp);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("wheel", onWheel, { passive: false });
  return () => element.removeEventListener("wheel", onWheel);
}
