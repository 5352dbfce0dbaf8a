// A stream is added: this browser's camera or screen, an address, or a file.

import { request, send } from "../ground/api.js";
import { fill, h } from "../ground/dom.js";
import { showError } from "../ground/notices.js";
import { openCapture, sendTo } from "../ground/pushing.js";
import { addressOf, go } from "../ground/router.js";
import { store } from "../ground/store.js";
import { t } from "../ground/texts.js";
import { CameraChoice } from "./camera_choice.js";
import { field, formDialog, segments } from "./dialog.js";

/** @typedef {"camera" | "screen" | "address" | "file"} Kind */

/** What a stream is called where nobody says otherwise. @type {Record<Kind, string>} */
const NAMES = { camera: "camera", screen: "screen", address: "camera", file: "video" };

/** Ask which stream to add, and add it. */
export function addDialog() {
  /** @type {Kind} */
  let kind = "camera";
  const name = h("input", { value: freeName(NAMES.camera), required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off" });
  const failure = h("div", {});
  const camera = new CameraChoice((error) => showError(failure, captureProblem(error)));
  const address = h("input", { type: "url", placeholder: "rtsp://192.168.1.20/stream1", autocomplete: "off", spellcheck: "false" });
  const file = h("input", { type: "file", accept: "video/*,image/gif" });
  const fps = h("input", { type: "number", min: "0.1", max: "30", step: "any", placeholder: String(store.about?.model.default_fps ?? 1) });
  const chunk = h("input", { type: "number", min: "1", max: "64", placeholder: "8" });
  const own = h("div", { class: "fields" });
  const kinds = segments(
    t("add.kind"),
    [
      ["camera", t("add.camera")],
      ["screen", t("add.screen")],
      ["address", t("add.address")],
      ["file", t("add.file")],
    ],
    kind,
    (chosen) => {
      if (name.value === freeName(NAMES[kind])) name.value = freeName(NAMES[chosen]);
      kind = chosen;
      draw();
    },
  );

  function draw() {
    const canCapture = Boolean(navigator.mediaDevices?.getUserMedia);
    const sources = store.about?.limits.allow_sources ?? [];
    if (kind !== "camera") camera.end();
    fill(failure);
    if (kind === "camera") fill(own, ...(canCapture ? [camera.element, failure] : [h("p", { class: "soft" }, t("add.insecure"))]));
    if (kind === "screen") fill(own, h("p", { class: "soft" }, canCapture ? t("add.screenHow") : t("add.insecure")));
    if (kind === "address") fill(own, field(t("add.url"), address, sources.length ? t("add.allowed", { sources: sources.join(", ") }) : t("add.noneAllowed")));
    if (kind === "file") fill(own, field(t("add.fileField"), file, t("add.fileHow")));
    address.required = kind === "address";
    file.required = kind === "file";
  }

  async function captured() {
    if (kind === "camera") return camera.take();
    return kind === "screen" ? openCapture({ kind }) : null;
  }

  async function work() {
    /** @type {Record<string, unknown>} */
    const body = { name: name.value.trim() };
    if (fps.value) body["fps"] = Number(fps.value);
    if (chunk.value) body["chunk_frames"] = Number(chunk.value);
    if (kind === "address") body["source"] = address.value.trim();
    if (kind === "file") body["source"] = await uploaded(file.files?.[0]);
    const capture = await captured().catch((error) => {
      throw new Error(captureProblem(error));
    });
    try {
      const status = await send("POST", "/v1/streams", body);
      if (capture) {
        const sending = sendTo(status.name, { take: capture.take, fps: status.fps ?? 1, what: t(`add.${kind}`), onEnd: capture.close });
        capture.media.getVideoTracks()[0]?.addEventListener("ended", () => sending.end());
      }
    } catch (error) {
      capture?.close();
      throw error;
    }
    await store.refresh();
    go(addressOf("stream", name.value.trim()));
  }

  draw();
  formDialog({
    title: t("streams.add"),
    content: [
      kinds.element,
      own,
      field(t("name"), name, t("add.nameHow")),
      h("details", {}, h("summary", {}, t("add.more")), h("div", { class: "fields two" }, field(t("add.fps"), fps), field(t("add.chunk"), chunk, t("add.chunkHow")))),
    ],
    confirm: t("add.confirm"),
    work,
    onClose: () => camera.end(),
  });
}

/** @param {string} kind */
function freeName(kind) {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? kind : `${kind}-${number}`;
    if (!store.streams.has(name)) return name;
  }
}

/** @param {File | undefined} file */
async function uploaded(file) {
  if (!file) throw new Error(t("add.noFile"));
  const form = new FormData();
  form.append("file", file);
  form.append("purpose", "user_data");
  return (await (await request("POST", "/v1/files", { form })).json()).id;
}

/** @param {unknown} error */
function captureProblem(error) {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError") return t("add.refused");
  if (name === "NotFoundError" || name === "OverconstrainedError") return t("add.noCamera");
  return t("add.failed", { reason: error instanceof Error ? error.message : String(error) });
}
