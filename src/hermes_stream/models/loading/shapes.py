"""The well-known sizes of each family, as numbers: one row per size, from the configs that are published.

A row is enough to tell what a size takes, and to build it with random weights (``build_config``).
Nothing here decides what is supported: that is ``MODELS`` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """One published size of a family.

    Attributes:
        name: by which it is asked for, such as ``llava-onevision-7b``.
        model_type: the family, as transformers calls it.
        hub_name: where its weights are.
        num_parameters: of the whole model, vision tower and head included.
        text: numbers of the decoder: layers, hidden, intermediate, heads, key-value heads, head_dim,
            vocabulary, positions.
        tied: whether the vocabulary's embeddings are also the head.
        vision: names what ``build_config`` takes for the vision tower.
    """

    name: str
    model_type: str
    hub_name: str
    num_parameters: int
    text: tuple[int, int, int, int, int, int, int, int]
    tied: bool = False
    vision: str = ""

    @property
    def tokens_per_temporal_patch(self) -> int | None:
        """Return the visual tokens of one frame; None where they follow from the picture's size."""
        return _TOKENS_PER_TEMPORAL_PATCH.get(self.vision or self.model_type)

    @property
    def num_layers(self) -> int:
        """Return the number of decoder layers."""
        return self.text[0]

    @property
    def num_kv_heads(self) -> int:
        """Return the number of key and value heads of a layer."""
        return self.text[4]

    @property
    def head_dim(self) -> int:
        """Return the width of a head."""
        return self.text[5]

    @property
    def max_positions(self) -> int:
        """Return how many positions the size was made for."""
        return self.text[7]

    @property
    def kv_bytes_per_token(self) -> int:
        """Return the bytes of one token's keys and values over all layers, at 2 bytes a number."""
        return 2 * 2 * self.num_layers * self.num_kv_heads * self.head_dim


def _row(
    name: str,
    model_type: str,
    hub_name: str,
    num_parameters: int,
    *text: int,
    tied: bool = False,
    vision: str = "",
) -> ModelShape:
    layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary, positions = text
    return ModelShape(
        name=name,
        model_type=model_type,
        hub_name=hub_name,
        num_parameters=num_parameters,
        text=(layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary, positions),
        tied=tied,
        vision=vision,
    )


# By vision tower, or by family where all sizes share one: 14 x 14, 16 x 16, 8 x 8, 9 x 9 once pooled.
_TOKENS_PER_TEMPORAL_PATCH = {"llava_onevision": 196, "internvl": 256, "base": 64, "so400m": 81}
_OV, _Q2, _Q25, _Q3 = "llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"
_OV_HUB, _SMOL_HUB = "llava-hf/llava-onevision-qwen2-", "HuggingFaceTB/SmolVLM2-"
# fmt: off
_ROWS = (
    # name, family, hub name, parameters;
    # layers, hidden, intermediate, heads, kv heads, head_dim, vocabulary, positions
    _row("llava-onevision-0.5b", _OV, f"{_OV_HUB}0.5b-ov-hf", 893_675_552,
         24, 896, 4864, 14, 2, 64, 152000, 32768, tied=True),
    _row("llava-onevision-7b", _OV, f"{_OV_HUB}7b-ov-hf", 8_030_807_584,
         28, 3584, 18944, 28, 4, 128, 152128, 32768),
    _row("llava-onevision-72b", _OV, f"{_OV_HUB}72b-ov-hf", 73_181_570_592,
         80, 8192, 29568, 64, 8, 128, 152128, 32768),
    _row("qwen2-vl-2b", _Q2, "Qwen/Qwen2-VL-2B-Instruct", 2_208_985_600,
         28, 1536, 8960, 12, 2, 128, 151936, 32768, tied=True),
    _row("qwen2-vl-7b", _Q2, "Qwen/Qwen2-VL-7B-Instruct", 8_291_375_616,
         28, 3584, 18944, 28, 4, 128, 152064, 32768),
    _row("qwen2-vl-72b", _Q2, "Qwen/Qwen2-VL-72B-Instruct", 73_405_560_320,
         80, 8192, 29568, 64, 8, 128, 152064, 32768),
    _row("qwen2.5-vl-3b", _Q25, "Qwen/Qwen2.5-VL-3B-Instruct", 3_754_622_976,
         36, 2048, 11008, 16, 2, 128, 151936, 128000, tied=True, vision="3420"),
    _row("qwen2.5-vl-7b", _Q25, "Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656,
         28, 3584, 18944, 28, 4, 128, 152064, 128000, vision="3420"),
    _row("qwen2.5-vl-32b", _Q25, "Qwen/Qwen2.5-VL-32B-Instruct", 33_452_718_336,
         64, 5120, 27648, 40, 8, 128, 152064, 128000, vision="3456"),
    _row("qwen2.5-vl-72b", _Q25, "Qwen/Qwen2.5-VL-72B-Instruct", 73_410_777_344,
         80, 8192, 29568, 64, 8, 128, 152064, 128000, vision="3456"),
    _row("qwen3-vl-2b", _Q3, "Qwen/Qwen3-VL-2B-Instruct", 2_127_532_032,
         28, 2048, 6144, 16, 8, 128, 151936, 262144, tied=True, vision="small"),
    _row("qwen3-vl-4b", _Q3, "Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808,
         36, 2560, 9728, 32, 8, 128, 151936, 262144, tied=True, vision="small"),
    _row("qwen3-vl-8b", _Q3, "Qwen/Qwen3-VL-8B-Instruct", 8_767_123_696,
         36, 4096, 12288, 32, 8, 128, 151936, 262144, vision="large"),
    _row("qwen3-vl-32b", _Q3, "Qwen/Qwen3-VL-32B-Instruct", 33_357_390_064,
         64, 5120, 25600, 64, 8, 128, 151936, 262144, vision="large"),
    _row("internvl3-1b", "internvl", "OpenGVLab/InternVL3-1B-hf", 938_119_296,
         24, 896, 4864, 14, 2, 64, 151674, 32768),
    _row("internvl3-2b", "internvl", "OpenGVLab/InternVL3-2B-hf", 2_088_883_712,
         28, 1536, 8960, 12, 2, 128, 151674, 32768),
    _row("internvl3-8b", "internvl", "OpenGVLab/InternVL3-8B-hf", 7_944_300_032,
         28, 3584, 18944, 28, 4, 128, 151674, 32768),
    _row("smolvlm2-256m", "smolvlm", f"{_SMOL_HUB}256M-Video-Instruct", 256_484_928,
         30, 576, 1536, 9, 3, 64, 49280, 8192, vision="base"),
    _row("smolvlm2-500m", "smolvlm", f"{_SMOL_HUB}500M-Video-Instruct", 507_482_304,
         32, 960, 2560, 15, 5, 64, 49280, 8192, vision="base"),
    _row("smolvlm2-2.2b", "smolvlm", f"{_SMOL_HUB}2.2B-Instruct", 2_246_784_880,
         24, 2048, 8192, 32, 32, 64, 49280, 8192, vision="so400m"),
)
# fmt: on
SHAPES: dict[str, ModelShape] = {shape.name: shape for shape in _ROWS}


def build_config(shape: ModelShape) -> Any:
    """Return transformers' config of a published size, to make it with random weights.

    Args:
        shape: one of ``SHAPES``.
    """
    layers, hidden, intermediate, heads, kv_heads, head_dim, vocabulary, positions = shape.text
    text = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "tie_word_embeddings": shape.tied,
        "rope_theta": 1_000_000.0,
    }
    return AutoConfig.for_model(shape.model_type, **_FAMILIES[shape.model_type](shape, text))


def _llava_onevision(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 26,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 384,
        "vision_use_head": False,
    }
    text = text | {"model_type": "qwen2"}
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": shape.tied}


def _qwen2_vl(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    sections = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": text.pop("rope_theta")}
    text["rope_parameters"] = sections
    del text["head_dim"]
    return {
        "text_config": text,
        "vision_config": {"depth": 32, "embed_dim": 1280, "num_heads": 16, "hidden_size": shape.text[1]},
        "tie_word_embeddings": shape.tied,
    }


def _qwen2_5_vl(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    vision = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": int(shape.vision),
        "num_heads": 16,
        "out_hidden_size": shape.text[1],
        "tokens_per_second": 2,
    }
    return _qwen2_vl(shape, text) | {"vision_config": vision}


def _qwen3_vl(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    text["rope_parameters"] = {
        "rope_type": "default",
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
        "rope_theta": 5 * text.pop("rope_theta"),
    }
    depth, hidden, intermediate, deep = {
        "small": (24, 1024, 4096, [5, 11, 17]),
        "large": (27, 1152, 4304, [8, 16, 24]),
    }[shape.vision]
    vision = {
        "depth": depth,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_heads": 16,
        "patch_size": 16,
        "out_hidden_size": shape.text[1],
        "deepstack_visual_indexes": deep,
    }
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": shape.tied}


def _internvl(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    text = text | {"model_type": "qwen2"}
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
    }
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": shape.tied}


def _smolvlm(shape: ModelShape, text: dict[str, Any]) -> dict[str, Any]:
    hidden, intermediate, layers, heads, patch, side, factor = {
        "base": (768, 3072, 12, 12, 16, 512, 4),
        "so400m": (1152, 4304, 27, 16, 14, 384, 3),
    }[shape.vision]
    vision = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "patch_size": patch,
        "image_size": side,
    }
    return {
        "text_config": text | {"model_type": "llama", "pad_token_id": 2},
        "vision_config": vision,
        "scale_factor": factor,
        "image_token_id": 49190,
        "pad_token_id": 2,
        "tie_word_embeddings": shape.tied,
    }


_FAMILIES: dict[str, Callable[[ModelShape, dict[str, Any]], dict[str, Any]]] = {
    "llava_onevision": _llava_onevision,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "internvl": _internvl,
    "smolvlm": _smolvlm,
}
