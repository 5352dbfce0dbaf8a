"""A published size with random weights, for measuring speed and memory without a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast

from hermes_lab.training.shapes import SHAPES, build_config
from hermes_stream.errors import ModelError
from hermes_stream.models.base import VideoModel
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.messages import import_transformers
from hermes_stream.models.loading.placement import choose_device, choose_dtype
from hermes_stream.models.loading.weights import attach_memory
from hermes_stream.policies.base import GuidancePrompts

_QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
_VIDEO = {"qwen2_vl": _QWEN_VIDEO, "qwen2_5_vl": _QWEN_VIDEO, "qwen3_vl": _QWEN_VIDEO}
_MARKS = {
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}


def random_model(size: str, *, device: str = "auto", dtype: str = "bfloat16", seed: int = 0) -> VideoModel:
    """Build a model of a published size with random weights. It answers nonsense at the true speed.

    Its tokenizer makes one token of every word.

    Args:
        size: one of ``SHAPES``, such as ``llava-onevision-7b``.
        device: as for ``load_model``.
        dtype: as for ``load_model``.
        seed: of the weights.

    Raises:
        ModelError: no such size, or no adapter for its family.
        DeviceError: the device or dtype is not available here.
    """
    if size not in SHAPES or SHAPES[size].model_type not in MODELS:
        known = sorted(name for name, shape in SHAPES.items() if shape.model_type in MODELS)
        raise ModelError(f"no published size is called {size!r}; choose one of: {', '.join(known)}")
    import_transformers()
    return random_model_of(build_config(SHAPES[size]), size, device=device, dtype=dtype, seed=seed)


def random_model_of(
    config: Any,
    name: str,
    *,
    device: str = "auto",
    dtype: str = "bfloat16",
    seed: int = 0,
    words: Sequence[str] = (),
) -> VideoModel:
    """Build a model of any shape with random weights.

    Args:
        config: transformers' config of a family that has an adapter.
        name: of the shape.
        device: as for ``load_model``.
        dtype: as for ``load_model``.
        seed: of the weights.
        words: that have tokens of their own; all others share one.

    Raises:
        DeviceError: the device or dtype is not available here.
    """
    chosen = choose_device(device)
    torch.manual_seed(seed)
    with chosen:
        model = AutoModelForImageTextToText.from_config(config, dtype=choose_dtype(dtype, chosen, None))
    tokenizer = _tokenizer(config, words)
    checkpoint = Checkpoint(
        name=f"{name} (random weights)",
        model=attach_memory(model.to(chosen)),
        tokenizer=tokenizer,
        chat_template=_template(config.model_type),
        preprocessing={},
        guidance_prompts=GuidancePrompts(),
        multiple_choice="letter",
        stop_token_ids=frozenset([tokenizer.eos_token_id]),
    )
    return MODELS[config.model_type](checkpoint)


def _tokenizer(config: Any, words: Sequence[str]) -> Any:
    """Return a tokenizer that has the family's marks at their ids, and makes one token of every word."""
    marks = {text: getattr(config, name) for name, text in _MARKS.items() if getattr(config, name, None)}
    if config.model_type not in _VIDEO:
        marks = {"<video>": getattr(config, "video_token_id", None) or config.image_token_id}
    vocabulary = {"<unk>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "\n": 3} | marks
    free = (index for index in range(config.text_config.vocab_size) if index not in vocabulary.values())
    vocabulary |= dict(zip(dict.fromkeys(words), list(free), strict=False))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", *marks],
    )


def _template(family: str) -> str:
    video = _VIDEO.get(family, "<video>")
    return (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'video' %}{{ '"
        + video
        + "' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
    )
