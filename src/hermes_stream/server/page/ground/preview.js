// Live pictures over a WebSocket: one is drawn at a time, none where nobody looks.

import { socketUrl, streamPath } from "./api.js";
import { pref } from "./prefs.js";
import { store } from "./store.js";
import { t } from "./texts.js";

const PTS_BYTES = 8;
const FIRST_PAUSE_MS = 600;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Show a stream's newest pictures in a canvas for as long as it can be seen.
 *
 * @param {string} name
 * @param {object} options
 * @param {number} options.fps
 * @param {(seconds: number, picture: ArrayBuffer) => void} [options.onPicture]
 * @returns {{canvas: HTMLCanvasElement, end: () => void, refresh: () => void}}
 */
export function preview(name, { fps, onPicture }) {
  const canvas = document.createElement("canvas");
  canvas.width = 320;
  canvas.height = 180;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", t("preview.of", { name }));
  const shown = new Preview(name, canvas, fps, onPicture);
  return { canvas, end: () => shown.end(), refresh: () => shown.look() };
}

class Preview {
  /**
   * @param {string} name
   * @param {HTMLCanvasElement} canvas
   * @param {number} fps
   * @param {((seconds: number, picture: ArrayBuffer) => void) | undefined} onPicture
   */
  constructor(name, canvas, fps, onPicture) {
    this._name = name;
    this._canvas = canvas;
    this._fps = fps;
    this._onPicture = onPicture;
    /** @type {WebSocket | null} */
    this._socket = null;
    this._isSeen = false;
    this._isDrawing = false;
    this._hasEnded = false;
    this._pause = FIRST_PAUSE_MS;
    this._timer = 0;
    this._look = () => this.look();
    this._observer = new IntersectionObserver((entries) => {
      this._isSeen = entries.some((one) => one.isIntersecting);
      this.look();
    });
    this._observer.observe(canvas);
    document.addEventListener("visibilitychange", this._look);
    document.addEventListener("previews", this._look);
    this._offConnection = store.on("connection", (isOpen) => {
      if (isOpen) {
        this._pause = FIRST_PAUSE_MS;
        this.look();
      }
    });
  }

  /** Open or close, as somebody looks or not. */
  look() {
    const isWanted = this._isSeen && !document.hidden && !pref("paused", false) && !this._hasEnded;
    if (isWanted && !this._socket) this._open();
    if (!isWanted && this._socket) this._close();
  }

  _open() {
    clearTimeout(this._timer);
    const socket = new WebSocket(socketUrl(`${streamPath(this._name, "/preview")}?fps=${this._fps}`));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => void this._draw(data);
    socket.onclose = () => {
      if (this._socket !== socket) return;
      this._socket = null;
      this._timer = window.setTimeout(() => this.look(), this._pause);
      this._pause = Math.min(LONGEST_PAUSE_MS, this._pause * 2);
    };
    this._socket = socket;
  }

  _close() {
    const socket = this._socket;
    this._socket = null;
    clearTimeout(this._timer);
    socket?.close();
  }

  /** @param {ArrayBuffer} message */
  async _draw(message) {
    this._pause = FIRST_PAUSE_MS;
    const seconds = Number(new DataView(message).getBigUint64(0)) / 1e6;
    this._onPicture?.(seconds, message);
    if (this._isDrawing) return; // a newer one comes; this one is nobody's any more
    this._isDrawing = true;
    try {
      const picture = await createImageBitmap(new Blob([new Uint8Array(message, PTS_BYTES)], { type: "image/jpeg" }));
      if (this._canvas.width !== picture.width || this._canvas.height !== picture.height) {
        this._canvas.width = picture.width;
        this._canvas.height = picture.height;
      }
      this._canvas.getContext("2d")?.drawImage(picture, 0, 0);
      picture.close();
      this._canvas.dataset["shown"] = seconds.toFixed(3);
    } catch {
      // a damaged picture: the one before stays
    } finally {
      this._isDrawing = false;
    }
  }

  end() {
    this._hasEnded = true;
    this._close();
    this._observer.disconnect();
    this._offConnection();
    document.removeEventListener("visibilitychange", this._look);
    document.removeEventListener("previews", this._look);
  }
}

/** Let all pictures of the page stand, or move again. @param {(paused: boolean) => void} change */
export function whenPaused(change) {
  const tell = () => change(pref("paused", false));
  document.addEventListener("previews", tell);
  return () => document.removeEventListener("previews", tell);
}
