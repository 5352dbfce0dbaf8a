"""A checkpoint read from a folder or a hub name: weights, tokenizer, and the files beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer, GenerationConfig
from transformers.utils.hub import cached_file

from hermes_stream.attention import ATTENTION_NAME, register
from hermes_stream.errors import DeviceError, ModelError
from hermes_stream.policies.base import GuidancePrompts

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")
_PREPROCESSING_FILES = ("video_preprocessor_config.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What an adapter is made from.

    Attributes:
        name: what it was loaded by.
        model: transformers' model, in evaluation mode, with the ``hermes`` attention in its decoder.
        tokenizer: the checkpoint's own.
        chat_template: the multimodal template beside the weights; None leaves it to the tokenizer.
        preprocessing: settings of its preprocessor file, empty where there is none.
        guidance_prompts: its own, or the paper's.
        multiple_choice: how it chooses among options.
        stop_token_ids: tokens that end an answer.
    """

    name: str
    model: Any
    tokenizer: Any
    chat_template: str | None
    preprocessing: Mapping[str, Any]
    guidance_prompts: GuidancePrompts
    multiple_choice: Literal["letter", "text"]
    stop_token_ids: frozenset[int]


def read_config(source: str, revision: str | None) -> Any:
    """Read a checkpoint's config.

    Args:
        source: a folder or a hub name such as ``llava-hf/llava-onevision-qwen2-0.5b-ov-hf``.
        revision: branch, tag or commit of a hub name.

    Raises:
        ModelError: there is no such folder or name, or it has no readable config.
    """
    folder = Path(source).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(
            f"no config.json in {source}; give a folder as transformers' save_pretrained writes it"
        )
    try:
        return AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"cannot read the config of model {source!r}: {_first_line(error)}; give 'tiny', a checkpoint "
            f"folder, or a hub name that is in the local cache or can be reached"
        ) from error


def read_checkpoint(
    source: str, *, name: str, config: Any, device: str, dtype: str, revision: str | None
) -> Checkpoint:
    """Load weights, tokenizer and the files beside them.

    Raises:
        ModelError: weights or tokenizer are missing or broken.
        DeviceError: the device or dtype is not available here.
    """
    _check_attention(source, config)
    place = choose_device(device)
    number = choose_dtype(dtype, place, getattr(config, "dtype", None) or config.get_text_config().dtype)
    tokenizer = _read_tokenizer(source, revision)
    model = _read_weights(source, config, number, revision).to(place).eval().requires_grad_(False)
    register()
    model.set_attn_implementation({"text_config": ATTENTION_NAME, "vision_config": "sdpa"})
    preprocessing = _find(source, _PREPROCESSING_FILES, revision)
    return Checkpoint(
        name=name,
        model=model,
        tokenizer=tokenizer,
        chat_template=_read_template(source, revision),
        preprocessing=_read_json(preprocessing) if preprocessing else {},
        guidance_prompts=_read_guidance(getattr(config, "guidance_prompts", None)),
        multiple_choice=_read_choice(getattr(config, "multiple_choice", "letter")),
        stop_token_ids=_stop_token_ids(source, config, tokenizer, revision),
    )


def _check_attention(source: str, config: Any) -> None:
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        raise ModelError(
            f"model {source!r} has layers of kind {', '.join(sorted(kinds))}; the memory needs full "
            f"attention in every layer"
        )


def choose_device(device: str) -> torch.device:
    """Return the device asked for; "auto" takes the fastest there is.

    Raises:
        DeviceError: there is no such device here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    available += ["mps"] if torch.backends.mps.is_available() else []
    named = "cuda:0" if device == "cuda" else device
    if named not in available:
        raise DeviceError(f"device {device!r} is not available; this machine has: {', '.join(available)}")
    return torch.device(named)


def choose_dtype(dtype: str, device: torch.device, stored: torch.dtype | str | None) -> torch.dtype:
    """Return the dtype asked for; "auto" takes the checkpoint's, but on a CPU never float16.

    Raises:
        DeviceError: the dtype is unknown or cannot be used on the device.
    """
    if dtype == "auto":
        own = stored if isinstance(stored, torch.dtype) else DTYPES.get(str(stored), torch.float32)
        return torch.bfloat16 if own == torch.float16 and device.type == "cpu" else own
    if dtype not in DTYPES:
        raise DeviceError(f"dtype {dtype!r} is not supported; choose one of: auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _read_tokenizer(source: str, revision: str | None) -> Any:
    try:
        return AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    except Exception as error:  # transformers raises many kinds here
        raise ModelError(
            f"cannot read the tokenizer of model {source!r}: {_first_line(error)}; its folder must hold the "
            f"tokenizer that it was trained with (tokenizer.json, tokenizer_config.json)"
        ) from error


def _read_weights(source: str, config: Any, dtype: torch.dtype, revision: str | None) -> Any:
    try:
        model, loading = AutoModelForImageTextToText.from_pretrained(
            source,
            config=config,
            dtype=dtype,
            revision=revision,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(
            f"cannot load the weights of model {source!r}: {_first_line(error)}; its folder must hold "
            f"safetensors weights that fit its config.json"
        ) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelError(
            f"the weights of model {source!r} are incomplete: {len(missing)} tensors are missing, the first "
            f"is {missing[0]}; download or copy the checkpoint again"
        )
    return model


def _read_template(source: str, revision: str | None) -> str | None:
    """Return the multimodal chat template beside the weights; None leaves it to the tokenizer."""
    path = _find(source, _TEMPLATE_FILES, revision)
    if path is None:
        return None
    if path.suffix == ".jinja":
        return path.read_text(encoding="utf-8")
    settings = _read_json(path)
    if "chat_template" not in settings:
        raise ModelError(f"{path} must hold a chat_template, it holds {sorted(settings)}")
    return str(settings["chat_template"])


def _find(source: str, filenames: Sequence[str], revision: str | None) -> Path | None:
    """Return the first of these files that the checkpoint brings."""
    for filename in filenames:
        try:
            found = cached_file(
                source,
                filename,
                revision=revision,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
            )
        except OSError:
            continue
        if found:
            return Path(found)
    return None


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
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


def _stop_token_ids(source: str, config: Any, tokenizer: Any, revision: str | None) -> frozenset[int]:
    """Collect every end-of-answer token that the checkpoint names."""
    named = [tokenizer.eos_token_id, config.get_text_config().eos_token_id]
    if _find(source, ["generation_config.json"], revision):
        named.append(GenerationConfig.from_pretrained(source, revision=revision).eos_token_id)
    ids: set[int] = set()
    for entry in named:
        ids.update(entry if isinstance(entry, list) else [] if entry is None else [entry])
    return frozenset(ids)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
