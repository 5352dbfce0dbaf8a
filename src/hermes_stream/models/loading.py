"""From a name to a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from hermes_stream.errors import ModelError, UnknownFamilyError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.checkpoint import Checkpoint, read_checkpoint, read_config
from hermes_stream.models.llava_onevision import LlavaOnevision

MODELS: dict[str, Callable[[Checkpoint], VideoModel]] = {
    LlavaOnevision.family: LlavaOnevision,
}
EMBEDDED: dict[str, str] = {"tiny": "tiny/weights"}


def load_model(
    name: str | Path, *, device: str = "auto", dtype: str = "auto", revision: str | None = None
) -> VideoModel:
    """Load a checkpoint and return its adapter.

    Args:
        name: ``"tiny"`` (shipped with the package), a checkpoint folder, or a hub name.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (the checkpoint's own), "float32", "bfloat16", "float16".
        revision: branch, tag or commit of a hub name.

    Raises:
        UnknownFamilyError: no adapter for the checkpoint's architecture.
        ModelError: a file is missing or broken.
        DeviceError: the device or dtype is not available here.
    """
    name = str(name)
    source = _source(name)
    config = read_config(source, revision)
    if config.model_type not in MODELS:
        raise UnknownFamilyError(
            f"model {name!r} is of family {config.model_type!r}, which has no adapter; supported: "
            f"{', '.join(sorted(MODELS))}"
        )
    checkpoint = read_checkpoint(
        source, name=name, config=config, device=device, dtype=dtype, revision=revision
    )
    return MODELS[config.model_type](checkpoint)


def _source(name: str) -> str:
    if name in EMBEDDED:
        return str(files("hermes_stream").joinpath(EMBEDDED[name]))
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path)
    looks_like_path = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if looks_like_path or path.exists():
        kind = "is a file, not a folder" if path.exists() else "does not exist"
        raise ModelError(
            f"model {name!r} {kind}; give one of {', '.join(sorted(EMBEDDED))}, a checkpoint folder, or a "
            f"hub name such as llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
        )
    return name
