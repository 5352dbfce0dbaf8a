"""From a name to a loaded model. Each step is cheaper than the next, so that mistakes show at once."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from hermes_stream.errors import ModelError, UnknownFamilyError, page
from hermes_stream.models.base import VideoModel
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.config_files import read_companions, read_config, read_family
from hermes_stream.models.loading.footprint import check_fits, free_bytes, measure_footprint
from hermes_stream.models.loading.hub import Hub, HubModel
from hermes_stream.models.loading.in_hand import borrow, is_in_hand
from hermes_stream.models.loading.messages import import_transformers, refusing
from hermes_stream.models.loading.placement import (
    DeviceMap,
    Placement,
    choose_dtype,
    choose_placement,
    warn_of_slow,
)
from hermes_stream.models.loading.progress import OnProgress
from hermes_stream.models.loading.quantisation import check_quantisation, int8_bytes, quantisation
from hermes_stream.models.loading.trial import check_finite_weights, check_logits, check_tokens
from hermes_stream.models.loading.weight_files import read_weight_files
from hermes_stream.models.loading.weights import build_empty, check_size, read_weights

EMBEDDED: dict[str, str] = {"tiny": "tiny/weights", "tiny-qwen": "tiny/weights_qwen2_5_vl"}
_ADVICE = "download or copy the checkpoint again"
_NAMES = (
    f"give one of {', '.join(EMBEDDED)}, a checkpoint folder, or a hub name such as "
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
)


def load_model(  # noqa: PLR0913 - one parameter per choice
    name: str | Path | Any,
    processor: Any = None,
    *,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
    device_map: DeviceMap | None = None,
    offline: bool = False,
    on_progress: OnProgress | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    weights: str = "auto",
) -> VideoModel:
    """Load a checkpoint and return its adapter.

    Args:
        name: ``"tiny"`` or ``"tiny-qwen"`` (shipped with the package), a checkpoint folder, a hub name, or a
            transformers model in hand, whose weights are shared and whose attention is borrowed until
            ``close``.
        processor: transformers' processor of a model in hand; None reads the files that it was loaded from.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto" (the checkpoint's own), "float32", "bfloat16", "float16", or torch's.
        revision: branch, tag or commit of a hub name.
        device_map: spreads the layers over several GPUs, "auto" or a dict from module to device,
            as transformers has it. Needs the extra ``multi-gpu``.
        offline: take hub names from the local cache, and send the hub no request.
        on_progress: called with how far the download and the reading are.
        min_pixels: fewest pixels of a frame, for families that keep its size; None is the checkpoint's.
        max_pixels: most pixels of a frame, for families that keep its size; None is the checkpoint's.
        weights: "auto" (as the checkpoint stores them), or "int8" (quantised while they are read). Needs the
            extra ``quantised``.

    Raises:
        UnknownFamilyError: no adapter for the checkpoint's architecture.
        ModelError: a file is missing or broken, or the hub cannot give it.
        DeviceError: the device or dtype is not available here, or the model does not fit it.
        ValueError: arguments contradict each other.
    """
    if is_in_hand(name):
        return _borrow(name, processor)
    name, dtype = _named(name, processor), str(dtype).removeprefix("torch.")
    placement = choose_placement(device, device_map, weights)
    hub_model, folder = _find(name, revision, Hub(offline=offline))
    adapter = _adapter(name, read_family(folder, name))
    _check_pixels(adapter, min_pixels, max_pixels)
    import_transformers()
    config = _read_config(folder, name, weights)
    number = choose_dtype(dtype, placement.device, config.dtype or config.get_text_config().dtype)
    how: dict[str, Any] = {"placement": placement, "dtype": number}
    if hub_model is not None:
        if (weight_bytes := hub_model.weight_bytes(folder)) is not None:
            _check_fits(name, config, weight_bytes, **how)
        hub_model.fetch_weights(folder, on_progress)
    _check_weights(name, folder, config, **how)
    warn_of_slow(number, placement)
    companions = read_companions(folder, name, config)
    model = read_weights(folder, name, config, on_progress=on_progress, **how)
    checkpoint = Checkpoint(model=model, min_pixels=min_pixels, max_pixels=max_pixels, **companions)
    return _tried(adapter, checkpoint)


def _read_config(folder: Path, name: str, weights: str) -> Any:
    """Read a config, and check that its kind of weights can be read."""
    config = read_config(folder, name)
    with refusing(f"use model {name!r} as its config.json tells", _ADVICE):
        check_quantisation(name, config, weights)
    return config


def _tried(adapter: type[VideoModel], checkpoint: Checkpoint) -> VideoModel:
    """Return the adapter of a checkpoint, once it has seen a picture and read a few words."""
    with refusing(f"use model {checkpoint.name!r} with the files of its folder", _ADVICE):
        model = adapter(checkpoint)
        check_tokens(model)
        check_logits(model)
    return model


def _named(name: str | Path, processor: Any) -> str:
    """Return a name as text; it is no empty one, and comes alone."""
    if processor is not None:
        raise ValueError("a processor goes with a transformers model in hand; leave it out for a name")
    if not str(name).strip():
        raise ModelError(f"the name of the model is empty; {_NAMES}")
    return str(name)


def _borrow(model: Any, processor: Any) -> VideoModel:
    """Return the adapter of a transformers model in hand."""
    checkpoint, give_back = borrow(model, processor)
    try:
        check_finite_weights(checkpoint.model, checkpoint.name)
        borrowed = _tried(_adapter(checkpoint.name, checkpoint.model.config.model_type), checkpoint)
    except BaseException:
        give_back()
        raise
    borrowed.give_back = give_back
    return borrowed


def embedded_folder(name: str) -> Path:
    """Return the folder of a checkpoint that is shipped with the package."""
    return Path(str(files("hermes_stream").joinpath(EMBEDDED[name])))


def _find(name: str, revision: str | None, hub: Hub) -> tuple[HubModel | None, Path]:
    """Return the folder of a checkpoint; that of a hub name holds everything but the weights."""
    path = embedded_folder(name) if name in EMBEDDED else Path(name).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ModelError(
                f"revision {revision!r} is for hub names, and {name!r} is a folder; leave it out, or give a "
                "hub name"
            )
        return None, path
    looks_like_path = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if looks_like_path or path.exists():
        kind = "is a file, not a folder" if path.exists() else "does not exist"
        raise ModelError(f"model {name!r} {kind}; {_NAMES}")
    hub_model = hub.look_up(name, revision)
    return hub_model, hub_model.fetch_settings()


def _adapter(name: str, family: str) -> type[VideoModel]:
    if family not in MODELS:
        raise UnknownFamilyError(
            f"model {name!r} is of family {family!r}, which has no adapter; supported: "
            f"{', '.join(sorted(MODELS))}. A family is added with one file in hermes_stream/models/ and one "
            f"line in MODELS: see {page('adding-a-model.md')}"
        )
    return MODELS[family]


def _check_pixels(adapter: type[VideoModel], min_pixels: int | None, max_pixels: int | None) -> None:
    if min_pixels is None and max_pixels is None:
        return
    if not adapter.has_dynamic_resolution:
        able = [family for family, other in MODELS.items() if other.has_dynamic_resolution]
        raise ModelError(
            f"min_pixels {min_pixels} and max_pixels {max_pixels} mean nothing to a model that resizes every "
            f"picture to one size; leave them out (families that keep a picture's size: "
            f"{', '.join(able)})"
        )
    lower, upper = min_pixels or 1, max_pixels or min_pixels or 1
    if lower < 1 or upper < lower:
        raise ValueError(
            f"min_pixels {min_pixels} and max_pixels {max_pixels} leave no frame; min_pixels must be at "
            f"least 1, and at most max_pixels"
        )


def _check_weights(name: str, folder: Path, config: Any, *, placement: Placement, dtype: torch.dtype) -> None:
    """Check from their headers that the weights are whole, are those of the config, and fit."""
    weights, itemsize = read_weight_files(folder), None
    if quantisation(config) is None:
        itemsize = dtype.itemsize
        if weights.quantised:
            raise ModelError(
                f"{len(weights.quantised)} weights of model {name!r} are stored as whole numbers or in 8 "
                f"bits, the first is {weights.quantised[0]}, and its config.json names no "
                f"quantization_config; {_ADVICE}"
            )
        check_size(name, config, weights.num_floating)
    _check_fits(name, config, weights.loaded_bytes(itemsize), placement=placement, dtype=dtype)


def _check_fits(
    name: str, config: Any, weight_bytes: int, *, placement: Placement, dtype: torch.dtype
) -> None:
    """Compare with what is free; a device map is left to accelerate, which knows all devices."""
    if placement.device_map is not None:
        return
    if placement.weights == "int8":
        weight_bytes = int8_bytes(build_empty(name, config), dtype)
    footprint = measure_footprint(config, weight_bytes=weight_bytes, dtype=dtype)
    check_fits(footprint, free_bytes(placement.device), name=name, device=str(placement.device))
