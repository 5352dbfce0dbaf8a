// Which of this browser's cameras: by name, or by its side; tried before it is added.

import { fill, h } from "../ground/dom.js";
import { icon } from "../ground/icons.js";
import { openCapture } from "../ground/pushing.js";
import { t } from "../ground/texts.js";
import { field } from "./dialog.js";

/** @typedef {Awaited<ReturnType<typeof openCapture>>} Capture */

export class CameraChoice {
  /** @param {(error: unknown) => void} onFailure is told why a camera cannot be tried */
  constructor(onFailure) {
    this._onFailure = onFailure;
    /** @type {Capture | null} */
    this._capture = null;
    this._number = 0;
    const again = () => this._capture && void this._try();
    this._device = h("select", { onchange: again }, h("option", { value: "" }, t("add.anyCamera")));
    this._facing = h("select", { onchange: again }, ...["", "environment", "user"].map((one) => h("option", { value: one }, t(`add.facing.${one || "any"}`))));
    this._look = h("button", { type: "button", onclick: () => void this._try() }, icon("camera"), t("add.try"));
    this._place = h("div", { class: "tried-camera", hidden: true });
    this.element = h(
      "div",
      { class: "fields" },
      h("div", { class: "fields two" }, field(t("add.device"), this._device), field(t("add.facing"), this._facing)),
      h("div", { class: "row" }, this._look),
      this._place,
    );
    void this._list();
  }

  /** The camera, open; whoever takes it closes it. @returns {Promise<Capture>} */
  async take() {
    const capture = this._capture ?? (await this._open());
    this._capture = null;
    return capture;
  }

  _open() {
    return openCapture({ kind: "camera", device: this._device.value, facing: this._facing.value });
  }

  /** Show what the camera sees, and name all cameras, which a browser does once one was allowed. */
  async _try() {
    this.end();
    const number = this._number;
    try {
      const capture = await this._open();
      if (number !== this._number) return capture.close(); // closed, or another one was chosen meanwhile
      this._capture = capture;
      const shown = h("video", { "aria-label": t("add.seen") });
      shown.muted = true;
      shown.playsInline = true;
      shown.srcObject = capture.media;
      fill(this._place, shown);
      this._place.hidden = false;
      await Promise.all([shown.play(), this._list()]);
    } catch (error) {
      if (number === this._number) this._onFailure(error);
    }
  }

  async _list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    const named = devices.filter((one) => one.kind === "videoinput" && one.deviceId);
    const chosen = this._device.value;
    const options = named.map((one, index) => h("option", { value: one.deviceId }, one.label || t("add.cameraNumber", { number: index + 1 })));
    fill(this._device, h("option", { value: "" }, t("add.anyCamera")), ...options);
    this._device.value = named.some((one) => one.deviceId === chosen) ? chosen : "";
  }

  /** Close what was only tried. */
  end() {
    this._number += 1;
    this._capture?.close();
    this._capture = null;
    this._place.hidden = true;
    fill(this._place);
  }
}
