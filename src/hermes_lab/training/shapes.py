"""The well-known sizes of each family, as numbers: one row per size, from the configs that are published.

A row says what a size takes, and ``build_config`` makes of it what random weights are built from.
Nothing here decides what is supported: that is ``MODELS`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from transformers import AutoConfig


class TextShape(NamedTuple):
    """Numbers of a decoder, by the names of transformers' config."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """One published size of a family.

    Attributes:
        name: by which it is asked for, such as ``llava-onevision-7b``.
        model_type: the family, as transformers calls it.
        hub_name: where its weights are.
        num_parameters: of the whole model, vision tower and head included.
        text: the decoder.
        tied: whether the vocabulary's embeddings are also the head.
        vision: names what ``build_config`` takes for the vision tower.
    """

    name: str
    model_type: str
    hub_name: str
    num_parameters: int
    text: TextShape
    tied: bool = False
    vision: str = ""

    @property
    def tokens_per_temporal_patch(self) -> int | None:
        """Visual tokens of one temporal patch; None for a family whose frames keep their size."""
        return _TOKENS_PER_TEMPORAL_PATCH.get(self.vision or self.model_type)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values over all layers, at 2 bytes a number."""
        return 2 * 2 * self.text.num_hidden_layers * self.text.num_key_value_heads * self.text.head_dim


# By vision tower, or by family where all sizes share one: 14 x 14, 16 x 16, 8 x 8, 9 x 9 once pooled.
_TOKENS_PER_TEMPORAL_PATCH = {"llava_onevision": 196, "internvl": 256, "base": 64, "so400m": 81}
_OV, _Q2, _Q25, _Q3 = "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"
_OV_HUB, _SMOL_HUB = "llava-hf/llava-onevision-qwen2-", "HuggingFaceTB/SmolVLM2-"
# fmt: off
_ROWS = (
    # name, family, hub name, parameters;
    # layers, hidden, intermediate, heads, key-value heads, head_dim, vocabulary, positions
    ModelShape("llava-onevision-0.5b", _OV, f"{_OV_HUB}0.5b-ov-hf", 893_675_552,
         TextShape(24, 896, 4864, 14, 2, 64, 152000, 32768), tied=True),
    ModelShape("llava-onevision-7b", _OV, f"{_OV_HUB}7b-ov-hf", 8_030_807_584,
         TextShape(28, 3584, 18944, 28, 4, 128, 152128, 32768)),
    ModelShape("llava-onevision-72b", _OV, f"{_OV_HUB}72b-ov-hf", 73_181_570_592,
         TextShape(80, 8192, 29568, 64, 8, 128, 152128, 32768)),
    ModelShape("qwen2-vl-2b", _Q2, "Qwen/Qwen2-VL-2B-Instruct", 2_208_985_600,
         TextShape(28, 1536, 8960, 12, 2, 128, 151936, 32768), tied=True),
    ModelShape("qwen2-vl-7b", _Q2, "Qwen/Qwen2-VL-7B-Instruct", 8_291_375_616,
         TextShape(28, 3584, 18944, 28, 4, 128, 152064, 32768)),
    ModelShape("qwen2-vl-72b", _Q2, "Qwen/Qwen2-VL-72B-Instruct", 73_405_560_320,
         TextShape(80, 8192, 29568, 64, 8, 128, 152064, 32768)),
    ModelShape("qwen2.5-vl-3b", _Q25, "Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976,
         TextShape(36, 2048, 11008, 16, 2, 128, 151936, 128000), tied=True, vision="3420"),
    ModelShape("qwen2.5-vl-7b", _Q25, "Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656,
         TextShape(28, 3584, 18944, 28, 4, 128, 152064, 128000), vision="3420"),
    ModelShape("qwen2.5-vl-32b", _Q25, "Qwen/Qwen2.5-VL-32B-Instruct", 33_452_718_336,
         TextShape(64, 5120, 27648, 40, 8, 128, 152064, 128000), vision="3456"),
    ModelShape("qwen2.5-vl-72b", _Q25, "Qwen/Qwen2.5-VL-72B-Instruct", 73_410_777_344,
         TextShape(80, 8192, 29568, 64, 8, 128, 152064, 128000), vision="3456"),
    ModelShape("qwen3-vl-2b", _Q3, "Qwen/Qwen3-VL-2B-Instruct", 2_127_532_032,
         TextShape(28, 2048, 6144, 16, 8, 128, 151936, 262144), tied=True, vision="small"),
    ModelShape("qwen3-vl-4b", _Q3, "Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808,
         TextShape(36, 2560, 9728, 32, 8, 128, 151936, 262144), tied=True, vision="small"),
    ModelShape("qwen3-vl-8b", _Q3, "Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696,
         TextShape(36, 4096, 12288, 32, 8, 128, 151936, 262144), vision="large"),
    ModelShape("qwen3-vl-32b", _Q3, "Qwen/Qwen3-VL-32B-Instruct", 33_357_390_064,
         TextShape(64, 5120, 25600, 64, 8, 128, 151936, 262144), vision="large"),
    ModelShape("internvl3-1b", "internvl", "OpenGVLab/InternVL3-1B-hf", 938_119_296,
         TextShape(24, 896, 4864, 14, 2, 64, 151674, 32768)),
    ModelShape("internvl3-2b", "internvl", "OpenGVLab/InternVL3-2B-hf", 2_088_883_712,
         TextShape(28, 1536, 8960, 12, 2, 128, 151674, 32768)),
    ModelShape("internvl3-8b", "internvl", "OpenGVLab/InternVL3-8B-hf", 7_944_300_032,
         TextShape(28, 3584, 18944, 28, 4, 128, 151674, 32768)),
    ModelShape("smolvlm2-256m", "smolvlm", f"{_SMOL_HUB}256M-Video-Instruct", 256_484_928,
         TextShape(30, 576, 1536, 9, 3, 64, 49280, 8192), vision="base"),
    ModelShape("smolvlm2-500m", "smolvlm", f"{_SMOL_HUB}500M-Video-Instruct", 507_482_304,
         TextShape(32, 960, 2560, 15, 5, 64, 49280, 8192), vision="base"),
    ModelShape("smolvlm2-2.2b", "smolvlm", f"{_SMOL_HUB}2.2B-Instruct", 2_246_784_880,
         TextShape(24, 2048, 8192, 32, 32, 64, 49280, 8192), vision="so400m"),
)
# fmt: on
SHAPES: dict[str, ModelShape] = {shape.name: shape for shape in _ROWS}


def build_config(shape: ModelShape) -> Any:
    """Return transformers' config of a published size, to make it with random weights.

    Args:
        shape: one of ``SHAPES``.
    """
    text = shape.text._asdict() | {"tie_word_embeddings": shape.tied, "rope_theta": 1_000_000.0}
    config = _FAMILIES[shape.model_type](text, shape)
    return AutoConfig.for_model(shape.model_type, **config, tie_word_embeddings=shape.tied)


# fmt: off
def _llava_onevision(text: dict[str, Any], _: ModelShape) -> dict[str, Any]:
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26,
              "num_attention_heads": 16, "patch_size": 14, "image_size": 384,
              "model_type": "siglip_vision_model", "vision_use_head": False}
    return {"text_config": text | {"model_type": "qwen2"}, "vision_config": vision}


def _qwen2_vl(text: dict[str, Any], shape: ModelShape) -> dict[str, Any]:
    rope = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": text.pop("rope_theta")}
    del text["head_dim"]
    vision = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "hidden_size": shape.text.hidden_size}
    return {"text_config": text | {"rope_parameters": rope}, "vision_config": vision}


def _qwen2_5_vl(text: dict[str, Any], shape: ModelShape) -> dict[str, Any]:
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": int(shape.vision), "num_heads": 16,
              "out_hidden_size": shape.text.hidden_size, "tokens_per_second": 2}
    return _qwen2_vl(text, shape) | {"vision_config": vision}


def _qwen3_vl(text: dict[str, Any], shape: ModelShape) -> dict[str, Any]:
    rope = {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": True,
            "rope_theta": 5 * text.pop("rope_theta")}
    depth, hidden, intermediate, deepstack = {
        "small": (24, 1024, 4096, [5, 11, 17]),
        "large": (27, 1152, 4304, [8, 16, 24]),
    }[shape.vision]
    vision = {"depth": depth, "hidden_size": hidden, "intermediate_size": intermediate, "num_heads": 16,
              "patch_size": 16, "out_hidden_size": shape.text.hidden_size,
              "deepstack_visual_indexes": deepstack}
    return {"text_config": text | {"rope_parameters": rope}, "vision_config": vision}


def _internvl(text: dict[str, Any], _: ModelShape) -> dict[str, Any]:
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
              "num_attention_heads": 16}
    return {"text_config": text | {"model_type": "qwen2"}, "vision_config": vision}


def _smolvlm(text: dict[str, Any], shape: ModelShape) -> dict[str, Any]:
    hidden, intermediate, layers, heads, patch, side, factor = {
        "base": (768, 3072, 12, 12, 16, 512, 4),
        "so400m": (1152, 4304, 27, 16, 14, 384, 3),
    }[shape.vision]
    vision = {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
              "num_attention_heads": heads, "patch_size": patch, "image_size": side}
    return {"text_config": text | {"model_type": "llama", "pad_token_id": 2}, "vision_config": vision,
            "scale_factor": factor, "image_token_id": 49190, "pad_token_id": 2}
# fmt: on


_FAMILIES: dict[str, Callable[[dict[str, Any], ModelShape], dict[str, Any]]] = {
    "llava_onevision": _llava_onevision,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "internvl": _internvl,
    "smolvlm": _smolvlm,
}
