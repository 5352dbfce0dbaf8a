"""Checkpoints to damage: the embedded ones, and a tiny one of random weights of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.load import EMBEDDED, embedded_folder

_MARKS = (
    *("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<video>", "<image>", "<|vision_start|>"),
    *("<|vision_end|>", "<|video_pad|>", "<|image_pad|>", "<img>", "</img>", "<end_of_utterance>"),
    *("<fake_token_around_image>", "<global-img>"),
)
_WORDS = "what is on screen now ? which came first . : ( ) a b c d the red blue circle square user assistant"
_QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
_SIDE = 24


def save_sources(folder: Path, *, seed: int) -> dict[str, Path]:
    """Write a tiny checkpoint of every family, one in shards; return these and the embedded ones by name.

    Args:
        folder: gets one folder for each.
        seed: of the weights.
    """
    sources = {name: embedded_folder(name) for name in EMBEDDED}
    for family in MODELS:
        sources[family] = _save(folder / family, family, seed=seed)
    sources["sharded"] = _save(folder / "sharded", "qwen2_vl", seed=seed, max_shard_size="60kB")
    return sources


def _save(folder: Path, family: str, *, seed: int, **how: Any) -> Path:
    tokenizer = _tokenizer(family)
    marks = {
        "image_token_id": tokenizer.convert_tokens_to_ids(
            "<|image_pad|>" if family.startswith("qwen") else "<image>"
        )
    }
    if family.startswith("qwen"):
        for name in ("video_pad", "vision_start", "vision_end"):
            key = f"{name.replace('_pad', '')}_token_id"
            marks[key] = tokenizer.convert_tokens_to_ids(f"<|{name}|>")
    if family == "llava_onevision":
        marks["video_token_id"] = tokenizer.convert_tokens_to_ids("<video>")
    text = _text(len(tokenizer), tokenizer.eos_token_id)
    architecture = AutoConfig.for_model(family, **_FAMILIES[family](text), **marks, tie_word_embeddings=False)
    torch.manual_seed(seed)
    AutoModelForImageTextToText.from_config(architecture).save_pretrained(folder, **how)
    tokenizer.save_pretrained(folder)
    qwen = {"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 64, "max_pixels": 768}
    fixed: dict[str, Any] = {"size": {"height": _SIDE, "width": _SIDE}}
    if family == "smolvlm":
        fixed = {"size": {"longest_edge": _SIDE}, "max_image_size": {"longest_edge": _SIDE}}
    own = qwen if family.startswith("qwen") else fixed
    settings = own | {"resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_rescale": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _tokenizer(family: str) -> Any:
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys((*_MARKS, *_WORDS.split())))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    video = _QWEN_VIDEO if family.startswith("qwen") else "<video>"
    template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'video' %}{{ '" + video + "' }}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<|im_end|>",
        additional_special_tokens=[mark for mark in _MARKS if mark not in ("<pad>", "<unk>", "<|im_end|>")],
        chat_template=template,
    )


def _text(vocab_size: int, eos_token_id: int) -> dict[str, Any]:
    return {
        "vocab_size": vocab_size,
        "eos_token_id": eos_token_id,
        "bos_token_id": None,
        "pad_token_id": 0,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }


def _qwen(text: dict[str, Any], sections: list[int], **vision: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": sections}
    shared = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    return {"text_config": text | {"rope_parameters": rope}, "vision_config": shared | vision}


def _qwen2_vl(text: dict[str, Any]) -> dict[str, Any]:
    return _qwen(text, [2, 1, 1], embed_dim=32, hidden_size=32, mlp_ratio=2)


def _qwen2_5_vl(text: dict[str, Any]) -> dict[str, Any]:
    vision = {"hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32, "window_size": 16}
    return _qwen(text, [2, 1, 1], **vision, fullatt_block_indexes=[1], tokens_per_second=2)


def _qwen3_vl(text: dict[str, Any]) -> dict[str, Any]:
    vision = {"hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32}
    more = {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    return _qwen(text | {"head_dim": 8}, [2, 1, 1], **vision, **more)


def _vision(**more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return sizes | {"image_size": _SIDE, "patch_size": 4} | more


def _llava_onevision(text: dict[str, Any]) -> dict[str, Any]:
    vision = _vision(model_type="siglip_vision_model", vision_use_head=False)
    how = {"vision_feature_layer": -1, "image_grid_pinpoints": [[_SIDE, _SIDE]]}
    return {"text_config": text | {"model_type": "qwen2"}, "vision_config": vision} | how


def _internvl(text: dict[str, Any]) -> dict[str, Any]:
    vision = _vision(image_size=[_SIDE, _SIDE], patch_size=[4, 4])
    return {
        "text_config": text | {"model_type": "qwen2"},
        "vision_config": vision,
        "image_seq_length": 9,
    }


def _smolvlm(text: dict[str, Any]) -> dict[str, Any]:
    return {"text_config": text | {"model_type": "llama"}, "vision_config": _vision(), "scale_factor": 2}


_FAMILIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "llava_onevision": _llava_onevision,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "internvl": _internvl,
    "smolvlm": _smolvlm,
}
