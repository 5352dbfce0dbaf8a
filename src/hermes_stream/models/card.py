"""What every family reads alike from its checkpoint: the card, and the shape of a stream's cache."""

from __future__ import annotations

from typing import Literal

from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import ModelCard
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.loading.placement import devices_of_layers


def build_card(
    checkpoint: Checkpoint,
    *,
    tokens_per_temporal_patch: int,
    default_fps: float,
    frames_per_temporal_patch: int = 1,
    text_after_video: Literal["clock", "picture"] = "clock",
) -> ModelCard:
    """Describe a checkpoint as its config does.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
        tokens_per_temporal_patch: most tokens that one frame takes, words included.
        default_fps: taken where the config has no ``training_fps``.
        frames_per_temporal_patch: pictures that the family encodes as one frame.
        text_after_video: where a question stands while nothing was forgotten.
    """
    config = checkpoint.model.config
    return ModelCard(
        name=checkpoint.name,
        family=config.model_type,
        tokens_per_temporal_patch=tokens_per_temporal_patch,
        frames_per_temporal_patch=frames_per_temporal_patch,
        default_fps=getattr(config, "training_fps", default_fps),
        default_budget_tokens=min(
            getattr(config, "memory_budget_tokens", 4000), config.text_config.max_position_embeddings // 2
        ),
        guidance_prompts=checkpoint.guidance_prompts,
        training_frames=getattr(config, "training_frames", None),
        multiple_choice=checkpoint.multiple_choice,
        text_after_video=text_after_video,
    )


def build_layout(checkpoint: Checkpoint, rotary: RotaryLayout) -> CacheLayout:
    """Describe the shape of a stream's cache.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
        rotary: how positions turn its keys.
    """
    model, text = checkpoint.model, checkpoint.model.config.text_config
    return CacheLayout(
        num_layers=text.num_hidden_layers,
        num_kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        dtype=model.dtype,
        device=model.device,
        rotary=rotary,
        max_positions=text.max_position_embeddings,
        layer_devices=devices_of_layers(model.get_decoder()),
    )
