// Pictures from this browser to a stream, one on its way at most: its camera, its screen, or another stream's.

import { get, socketUrl, streamPath } from "./api.js";
import { store } from "./store.js";
import { t } from "./texts.js";

const MAX_SIDE = 768;
const QUALITY = 0.82;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;

/** @typedef {{encoded: Blob | ArrayBuffer, seconds?: number}} Taken a picture, and its time where it has one */

/** @type {Map<string, Sending>} what this browser sends, by stream */
export const sendings = new Map();

/**
 * Begin to send pictures to a stream.
 *
 * @param {string} name
 * @param {object} options
 * @param {() => Promise<Taken | null>} options.take gives the next picture; null where there is none yet
 * @param {number} options.fps
 * @param {string} options.what in words
 * @param {() => void} options.onEnd frees the camera
 */
export function sendTo(name, options) {
  sendings.get(name)?.end();
  const sending = new Sending(name, options);
  sendings.set(name, sending);
  store.tell("sending");
  return sending;
}

export class Sending {
  /**
   * @param {string} name
   * @param {{take: () => Promise<Taken | null>, fps: number, what: string, onEnd: () => void}} options
   */
  constructor(name, { take, fps, what, onEnd }) {
    this.name = name;
    this.what = what;
    this.problem = "";
    this.numSent = 0;
    this._take = take;
    this._pauseMs = 1000 / fps;
    this._onEnd = onEnd;
    this._hasEnded = false;
    this._zeroMs = Date.now();
    this._newest = -1;
    void this._forEver();
  }

  end() {
    if (this._hasEnded) return;
    this._hasEnded = true;
    this._socket?.close();
    this._onEnd();
    if (sendings.get(this.name) === this) sendings.delete(this.name);
    store.tell("sending");
  }

  async _forEver() {
    let pause = FIRST_PAUSE_MS;
    while (!this._hasEnded) {
      const before = this.numSent;
      try {
        await this._once();
      } catch (error) {
        this._tell(error instanceof Error ? error.message : String(error));
      }
      if (this._hasEnded) return;
      if (this.numSent > before) pause = FIRST_PAUSE_MS;
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
    }
  }

  /** Send over one connection until it is lost; the stream's clock goes on from where it stands. */
  async _once() {
    const status = await get(streamPath(this.name));
    const newest = status.newest_pts_seconds ?? -1;
    this._zeroMs =
      status.zero_wall_seconds === null ? Date.now() : (status.zero_wall_seconds - store.clockOffset) * 1000;
    this._newest = Math.max(this._newest, newest);
    const socket = await opened(socketUrl(streamPath(this.name, "/frames")));
    this._socket = socket;
    const replies = repliesOf(socket);
    this._tell("");
    while (!this._hasEnded && socket.readyState === WebSocket.OPEN) {
      const began = performance.now();
      const taken = await this._take();
      if (taken) {
        socket.send(await this._message(taken));
        const reply = await replies.next(); // the next picture is taken once this one has arrived
        if (!reply) return;
        this._tell(reply.error?.message ?? "");
        if (!reply.error) this.numSent += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(5, began + this._pauseMs - performance.now())));
    }
  }

  /** @param {Taken} taken */
  async _message({ encoded, seconds }) {
    const now = seconds ?? Math.max(0, (Date.now() - this._zeroMs) / 1000);
    const at = Math.max(now, this._newest + (seconds === undefined ? 0.001 : 0));
    this._newest = at;
    const head = new DataView(new ArrayBuffer(8));
    head.setBigUint64(0, BigInt(Math.round(at * 1e6)));
    return new Blob([head.buffer, encoded]);
  }

  /** @param {string} problem */
  _tell(problem) {
    if (problem === this.problem) return;
    this.problem = problem;
    store.tell("sending");
  }
}

/** @param {string} url @returns {Promise<WebSocket>} */
function opened(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve(socket);
    socket.onclose = () => reject(new Error(t("error.unreachable")));
  });
}

/** @param {WebSocket} socket */
function repliesOf(socket) {
  /** @type {any[]} */
  const waiting = [];
  /** @type {((reply: any) => void) | null} */
  let wake = null;
  socket.onmessage = ({ data }) => (wake ? wake(JSON.parse(data)) : waiting.push(JSON.parse(data)));
  socket.onclose = () => (wake ? wake(null) : waiting.push(null));
  return {
    next: () =>
      new Promise((/** @type {(reply: any) => void} */ resolve) => {
        if (waiting.length) return resolve(waiting.shift());
        wake = (reply) => {
          wake = null;
          resolve(reply);
        };
      }),
  };
}

/**
 * Open this browser's camera or screen, and return what takes pictures of it.
 *
 * @param {{kind: "camera" | "screen", device?: string, facing?: string}} chosen
 */
export async function openCapture({ kind, device, facing }) {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  const which = device ? { deviceId: { exact: device } } : facing ? { facingMode: facing } : {};
  const media =
    kind === "screen"
      ? await navigator.mediaDevices.getDisplayMedia({ video: true, audio: false })
      : await navigator.mediaDevices.getUserMedia({ video: { ...size, ...which }, audio: false });
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = media;
  await video.play();
  const canvas = document.createElement("canvas");
  const close = () => media.getTracks().forEach((track) => track.stop());
  return { media, take: () => pictureOf(video, canvas), close };
}

/** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas @returns {Promise<Taken | null>} */
async function pictureOf(video, canvas) {
  if (!video.videoWidth) return null;
  const share = Math.min(1, MAX_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.round(video.videoWidth * share);
  canvas.height = Math.round(video.videoHeight * share);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  /** @type {Blob | null} */
  const encoded = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return encoded && { encoded };
}
