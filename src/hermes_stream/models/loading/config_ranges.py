"""Ranges of the settings in a checkpoint's config.json, checked before anything is built from them.

transformers builds what a config tells: a billion layers take for ever, and a base of rotary positions of 0
answers nonsense. What is here is far wider than any published model.
"""

from __future__ import annotations

from typing import Any

from hermes_stream.errors import ModelError
from hermes_stream.models.settings import Settings

# Whole numbers by name, with the least and the most that is accepted, in whichever section they stand.
_INTEGERS = {
    "num_hidden_layers": (1, 1000),
    "depth": (1, 1000),
    "hidden_size": (1, 1 << 17),
    "embed_dim": (1, 1 << 17),
    "out_hidden_size": (1, 1 << 17),
    "intermediate_size": (1, 1 << 20),
    "num_attention_heads": (1, 4096),
    "num_key_value_heads": (1, 4096),
    "num_heads": (1, 4096),
    "head_dim": (2, 4096),
    "vocab_size": (1, 1 << 24),
    "max_position_embeddings": (16, 1 << 27),
    "temporal_patch_size": (1, 16),
    "spatial_merge_size": (1, 16),
    "scale_factor": (1, 16),
    "window_size": (1, 1 << 16),
    "num_position_embeddings": (1, 1 << 24),
    "image_seq_length": (1, 1 << 16),
    "num_channels": (3, 3),
    "in_channels": (3, 3),
    "in_chans": (3, 3),
    "training_frames": (1, 1 << 31),
    "memory_budget_tokens": (1, 1 << 27),
    "tokens_per_temporal_patch": (1, 1 << 20),
}
_SIDES = {"image_size": 1 << 14, "patch_size": 1 << 10}
_NUMBERS = {
    "rope_theta": (100.0, 1e9),
    "rms_norm_eps": (1e-12, 0.1),
    "layer_norm_eps": (1e-12, 0.1),
    "factor": (1.0, 1e4),
    "attention_factor": (1e-2, 1e2),
    "partial_rotary_factor": (1e-2, 1.0),
    "downsample_ratio": (1e-2, 1.0),
    "tokens_per_second": (1e-3, 1e4),
    "training_fps": (1e-6, 1e4),
    "mlp_ratio": (1e-2, 1e3),
}
_LAYER_LISTS = {"fullatt_block_indexes", "deepstack_visual_indexes"}
_FLAGS = {"tie_word_embeddings", "use_sliding_window", "vision_use_head", "qkv_bias", "attention_bias"}
_SECTIONS = ("text_config", "vision_config", "rope_parameters", "rope_scaling")


def check_ranges(config: Settings) -> None:
    """Refuse a config with a value out of its range.

    Args:
        config: config.json as it stands in the file.

    Raises:
        ModelError: a value is out of its range; names file, setting, value and what is accepted.
    """
    for name in config.values:
        if name in _INTEGERS:
            least, most = _INTEGERS[name]
            config.integer(name, None, least=least, most=most)
        elif name in _SIDES:
            _check_side(config, name, _SIDES[name])
        elif name in _NUMBERS:
            lowest, highest = _NUMBERS[name]
            config.number(name, lowest, least=lowest, most=highest)
        elif name in _FLAGS:
            config.boolean(name, default=False)
        elif name in _LAYER_LISTS:
            _check_layers(config, name)
        elif name in _SECTIONS and isinstance(config.values[name], dict):
            check_ranges(config.section(name))


def _check_side(config: Settings, name: str, most: int) -> None:
    """Check one side, or height and width."""
    value = config.values[name]
    sides: dict[str, Any] = dict(enumerate(value)) if isinstance(value, list) else {name: value}  # type: ignore[arg-type]
    if len(sides) not in (1, 2):
        raise ModelError(f"{name} in {config.source} is {value!r}; accepted: one side, or height and width")
    for key in sides:
        Settings(sides, f"{name} in {config.source}" if key != name else config.source).integer(
            key, None, most=most
        )


def _check_layers(config: Settings, name: str) -> None:
    """Check that a list names layers that there are."""
    depth, value = config.integer("depth", None), config.values[name]
    good = isinstance(value, list) and all(
        type(it) is int and it >= 0 and (depth is None or it < depth) for it in value
    )
    if value is not None and not good:
        layers = "layers, counted from 0" if depth is None else f"layers from 0 to {depth - 1}"
        raise ModelError(f"{name} in {config.source} is {value!r}; accepted: a list of {layers}")
