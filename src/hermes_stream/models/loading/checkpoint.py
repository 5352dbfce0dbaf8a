"""A checkpoint read from a folder: weights, tokenizer, and the files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from hermes_stream.attention import ATTENTION_NAME, register
from hermes_stream.errors import DeviceError, ModelError
from hermes_stream.models.loading.placement import Placement
from hermes_stream.models.loading.progress import OnProgress, reading_told_to
from hermes_stream.models.loading.quantised import quantisation, quantising
from hermes_stream.policies.base import GuidancePrompts

_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_MOST_MADE_UP = 1.5  # below it transformers names the tensors that are missing
_PROCESSOR_FILE = "processor_config.json"
_PREPROCESSING_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What an adapter is made from.

    Attributes:
        name: what it was loaded by.
        model: transformers' model, in evaluation mode, with the ``hermes`` attention in its decoder, and an
            ``hf_device_map`` where it is spread over several devices.
        tokenizer: the checkpoint's own.
        chat_template: the multimodal template beside the weights; None leaves it to the tokenizer.
        preprocessing: settings of its preprocessor file, empty where there is none.
        guidance_prompts: its own, or the paper's.
        multiple_choice: how it chooses among options.
        stop_token_ids: tokens that end an answer.
        min_pixels: least pixels of a picture, asked for by the user; None leaves it to the checkpoint.
        max_pixels: most pixels of a picture, asked for by the user; None leaves it to the checkpoint.
    """

    name: str
    model: Any
    tokenizer: Any
    chat_template: str | None
    preprocessing: Mapping[str, Any]
    guidance_prompts: GuidancePrompts
    multiple_choice: Literal["letter", "text"]
    stop_token_ids: frozenset[int]
    min_pixels: int | None = None
    max_pixels: int | None = None


def read_family(folder: Path, name: str) -> str:
    """Return the ``model_type`` that a checkpoint folder names.

    Args:
        folder: holds the checkpoint.
        name: what it was asked for by, for the message.

    Raises:
        ModelError: there is no readable config.json, or it names none.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"no config.json in {name}; give a folder as transformers' save_pretrained writes it"
        )
    family = read_json(folder / "config.json").get("model_type")
    if not isinstance(family, str):
        raise ModelError(
            f"{folder / 'config.json'} names no model_type (got {family!r}), so that its family is unknown; "
            f"give a checkpoint that transformers can load"
        )
    return family


def read_config(folder: Path, name: str) -> Any:
    """Read the config of a checkpoint, and check that its attention can be remembered.

    Raises:
        ModelError: transformers cannot read it, or some layers have no full attention.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - {"full_attention"}
    except Exception as error:  # transformers raises many kinds here
        raise ModelError(
            f"cannot read the config of model {name!r}: {_first_line(error)}; take its config.json "
            f"from the checkpoint again"
        ) from error
    if kinds:
        raise ModelError(
            f"model {name!r} has layers of kind {', '.join(sorted(kinds))}; the memory keeps keys and values "
            f"of full attention, and needs it in every layer (docs/adding-a-model.md says what a family must "
            "have)"
        )
    return config


def read_checkpoint(
    folder: Path,
    *,
    name: str,
    config: Any,
    placement: Placement,
    dtype: torch.dtype,
    on_progress: OnProgress | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> Checkpoint:
    """Load weights, tokenizer and the files beside them, the small ones first so that mistakes show at once.

    Raises:
        ModelError: weights or tokenizer are missing or broken.
        DeviceError: the devices of a map cannot hold the weights.
    """
    tokenizer = _read_tokenizer(folder, name)
    beside: dict[str, Any] = {
        "chat_template": _read_template(folder),
        "preprocessing": _read_preprocessing(folder),
        "guidance_prompts": _read_guidance(getattr(config, "guidance_prompts", None)),
        "multiple_choice": _read_choice(getattr(config, "multiple_choice", "letter")),
        "stop_token_ids": _stop_token_ids(folder, config, tokenizer),
    }
    with reading_told_to(on_progress):
        model = _read_weights(folder, name, config, placement, dtype).eval().requires_grad_(False)
    attach_memory(model)
    return Checkpoint(
        name=name,
        model=model,
        tokenizer=tokenizer,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        **beside,
    )


def attach_memory(model: Any) -> Any:
    """Let a model's decoder attend to streams' caches, and return the model."""
    register()
    model.set_attn_implementation({"text_config": ATTENTION_NAME, "vision_config": "sdpa"})
    return model


def _read_tokenizer(folder: Path, name: str) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises many kinds here
        raise ModelError(
            f"cannot read the tokenizer of model {name!r}: {_first_line(error)}; its folder must hold the "
            f"tokenizer that it was trained with (tokenizer.json, tokenizer_config.json)"
        ) from error


def _read_weights(folder: Path, name: str, config: Any, placement: Placement, dtype: torch.dtype) -> Any:
    """Read weights onto their devices; quantised ones are placed while they are read."""
    quantiser = quantising(placement)
    quantised = quantiser is not None or quantisation(config) is not None
    device_map: Any = placement.device_map
    if quantised and device_map is None and placement.device.type != "cpu":
        device_map = {"": placement.device}
    try:
        model, loading = AutoModelForImageTextToText.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map=device_map,
            quantization_config=quantiser,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # transformers and the quantisers raise many kinds
        raise ModelError(
            f"cannot load the weights of model {name!r}: {_first_line(error)}; its folder must hold "
            f"safetensors weights that fit its config.json"
        ) from error
    _check_complete(name, loading)
    _check_offload(name, getattr(model, "hf_device_map", {}))
    return model.to(placement.device) if device_map is None and not quantised else model


def _check_complete(name: str, loading: Mapping[str, Any]) -> None:
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights of model {name!r} are incomplete: {len(missing)} tensors are missing, the first "
            f"is {missing[0]}; download or copy the checkpoint again"
        )
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        tensor, stored, wanted = mismatched[0]
        raise ModelError(
            f"the weights of model {name!r} do not fit its config.json: {len(mismatched)} tensors have other "
            f"shapes, the first is {tensor} with {list(stored)} instead of {list(wanted)}; take both from "
            f"the same checkpoint"
        )


def check_size(name: str, config: Any, num_stored: int) -> None:
    """Refuse weights that are far fewer than the config tells of, before the rest is made up at random.

    Args:
        name: of the model, for the message.
        config: transformers' config of the whole model, not quantised.
        num_stored: numbers in the weight files.

    Raises:
        ModelError: the architecture has many more, or cannot be built.
    """
    num_wanted = sum(weight.numel() for weight in build_empty(name, config).parameters())
    if num_wanted > _MOST_MADE_UP * num_stored:
        raise ModelError(
            f"the weights of model {name!r} do not fit its config.json, which tells of {num_wanted:,} "
            f"parameters: its files hold {num_stored:,}; take both from the same checkpoint"
        )


def build_empty(name: str, config: Any) -> Any:
    """Return the architecture of a model without its numbers.

    Raises:
        ModelError: it cannot be built.
    """
    try:
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)
    except Exception as error:  # transformers raises many kinds here
        raise ModelError(
            f"cannot build model {name!r} as its config.json tells: {_first_line(error)}; take the file from "
            f"the checkpoint again"
        ) from error


def _check_offload(name: str, device_map: Mapping[str, Any]) -> None:
    """Refuse a map that puts some modules on the host or on disk: buffers live with their layers."""
    places = {str(place) for place in device_map.values()}
    if len(places) > 1 and places & {"cpu", "disk"}:
        away = sorted(module for module, place in device_map.items() if str(place) in ("cpu", "disk"))
        raise DeviceError(
            f"the GPUs cannot hold model {name!r}: {len(away)} modules would be offloaded, the first is "
            f"{away[0]}; choose a smaller dtype, a quantised checkpoint, or more GPUs"
        )


def _read_template(folder: Path) -> str | None:
    """Return the multimodal chat template beside the weights; None leaves it to the tokenizer."""
    path = _find(folder, _TEMPLATE_FILES)
    if path is None:
        return None
    if path.suffix == ".jinja":
        return path.read_text(encoding="utf-8")
    settings = read_json(path)
    if "chat_template" not in settings:
        raise ModelError(f"{path} must hold a chat_template, it holds {sorted(settings)}")
    return str(settings["chat_template"])


def _read_preprocessing(folder: Path) -> Mapping[str, Any]:
    """Return what a checkpoint says of pictures in a video, wherever its version of transformers wrote it."""
    joint = folder / _PROCESSOR_FILE
    parts = read_json(joint) if joint.is_file() else {}
    for part in ("video_processor", "image_processor"):
        if isinstance(parts.get(part), dict):
            return parts[part]
    path = _find(folder, _PREPROCESSING_FILES)
    return read_json(path) if path else {}


def _find(folder: Path, filenames: Sequence[str]) -> Path | None:
    """Return the first of these files that the checkpoint brings."""
    return next((folder / name for name in filenames if (folder / name).is_file()), None)


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a settings file.

    Raises:
        ModelError: it cannot be read, or is no JSON object.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} must hold a JSON object, it holds a {type(settings).__name__}")
    return settings


def _read_guidance(own: Mapping[str, str] | None) -> GuidancePrompts:
    if own is None:
        return GuidancePrompts()
    known = {field.name for field in fields(GuidancePrompts)}
    if (
        not isinstance(own, Mapping)
        or not own.keys() <= known
        or not all(isinstance(v, str) for v in own.values())
    ):
        raise ModelError(
            f"guidance_prompts in config.json may hold texts for {sorted(known)}, it holds {own!r}"
        )
    return GuidancePrompts(**own)


def _read_choice(own: object) -> Literal["letter", "text"]:
    if own == "letter":
        return "letter"
    if own == "text":
        return "text"
    raise ModelError(f"multiple_choice in config.json is {own!r}; accepted: 'letter', 'text'")


def _stop_token_ids(folder: Path, config: Any, tokenizer: Any) -> frozenset[int]:
    """Collect every end-of-answer token that the checkpoint names."""
    named = [tokenizer.eos_token_id, config.get_text_config().eos_token_id]
    if generation := _find(folder, ["generation_config.json"]):
        named.append(read_json(generation).get("eos_token_id"))
    ids: set[int] = set()
    for entry in named:
        ids.update(entry if isinstance(entry, list) else [] if entry is None else [entry])
    return frozenset(ids)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".: ") if lines else type(error).__name__
