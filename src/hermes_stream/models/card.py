"""What every family reads alike from its checkpoint: the card, and the shape of a stream's cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.settings import Settings
from hermes_stream.policies.base import GuidancePrompts

DEFAULT_BUDGET_TOKENS = 4000
DEFAULT_UNSEEN_AT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a checkpoint says about itself.

    Attributes:
        name: what it was loaded by.
        family: transformers' ``model_type``.
        tokens_per_temporal_patch: most tokens that a temporal patch takes in the memory, its text included.
        text_tokens_per_temporal_patch: those of them that are text, such as the patch's time, at most.
        frames_per_temporal_patch: frames that the family encodes as one: 1, or 2 with Qwen-VL.
        default_fps: frames per second that it is used with; the checkpoint's, or its family's.
        default_budget_tokens: memory budget when none is asked for.
        guidance_prompts: texts that guide the memory.
        revision: commit on the hub; None for what does not come from there.
        training_frames: longest stream that it was trained on, in frames; None where the checkpoint does not
            say.
        knows: the only thing that it understands, in a few words; None for general models.
        multiple_choice: how it chooses among options: it names a "letter", or says an option's "text".
        text_after_video: position of a question while nothing was forgotten: at the "clock", after all
            positions, or at the "picture", after the height and width of the last patch alone, as
            transformers from 5.3 on does for families with a time axis. Later it is always the clock.
        unseen_at: score of "not seen" from which it is the answer, where it is offered (``allow_unseen``), in
            [0, 1]; the config's, calibrated on the checkpoint's own scores, else where it is the likeliest.
    """

    name: str
    family: str
    tokens_per_temporal_patch: int
    default_fps: float
    default_budget_tokens: int
    guidance_prompts: GuidancePrompts
    text_tokens_per_temporal_patch: int = 0
    frames_per_temporal_patch: int = 1
    revision: str | None = None
    training_frames: int | None = None
    knows: str | None = None
    multiple_choice: Literal["letter", "text"] = "letter"
    text_after_video: Literal["clock", "picture"] = "clock"
    unseen_at: float = DEFAULT_UNSEEN_AT

    def frames_of_a_second(self, fps: float) -> int:
        """Return a second of frames, in whole temporal patches: a chunk while something is watched for.

        Args:
            fps: frames sampled per second.
        """
        size = self.frames_per_temporal_patch
        return size * max(1, -(-round(fps) // size))


def build_card(
    checkpoint: Checkpoint,
    *,
    tokens_per_temporal_patch: int,
    default_fps: float,
    text_tokens_per_temporal_patch: int = 0,
    frames_per_temporal_patch: int = 1,
    text_after_video: Literal["clock", "picture"] = "clock",
) -> ModelCard:
    """Describe a checkpoint as its config does.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
        tokens_per_temporal_patch: most tokens that a temporal patch takes, its text included.
        default_fps: of the family, for a config without ``training_fps``.
        text_tokens_per_temporal_patch: those of them that are text, at most.
        frames_per_temporal_patch: frames that the family encodes as one.
        text_after_video: position of a question while nothing was forgotten.

    Raises:
        ModelError: the config holds a value that is not accepted.
    """
    config = checkpoint.model.config
    return ModelCard(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family=config.model_type,
        tokens_per_temporal_patch=tokens_per_temporal_patch,
        text_tokens_per_temporal_patch=text_tokens_per_temporal_patch,
        frames_per_temporal_patch=frames_per_temporal_patch,
        default_fps=read_fps(config, default_fps),
        default_budget_tokens=read_budget_tokens(config),
        guidance_prompts=checkpoint.guidance_prompts,
        training_frames=config_settings(config).integer("training_frames", None),
        knows=read_knows(config),
        multiple_choice=checkpoint.multiple_choice,
        text_after_video=text_after_video,
        unseen_at=read_unseen_at(config),
    )


def build_layout(
    checkpoint: Checkpoint, rotary: RotaryLayout, *, grid_follows_time: bool = False
) -> CacheLayout:
    """Describe the shape of a stream's cache.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
        rotary: how positions rotate its keys.
        grid_follows_time: rows and columns count from the time of their own temporal patch.
    """
    model = checkpoint.model
    num_layers, num_kv_heads, head_dim = kv_shape(model.config)
    return CacheLayout(
        num_layers=num_layers,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        dtype=model.dtype,
        device=model.device,
        rotary=rotary,
        max_positions=model.config.get_text_config().max_position_embeddings,
        grid_follows_time=grid_follows_time,
        layer_devices=_layer_devices(model.get_decoder()),
    )


def config_settings(config: Any) -> Settings:
    """Return the settings that this project adds to transformers' config of a checkpoint."""
    return Settings(vars(config), "config.json")


def read_fps(config: Any, default: float) -> float:
    """Return the frames per second that a checkpoint was trained with, or the default."""
    return config_settings(config).number("training_fps", default)


def read_budget_tokens(config: Any) -> int:
    """Return the budget when none is asked for: the checkpoint's own, at most half of its positions."""
    own = config_settings(config).integer("memory_budget_tokens", DEFAULT_BUDGET_TOKENS)
    return min(own, config.get_text_config().max_position_embeddings // 2)


def read_knows(config: Any) -> str | None:
    """Return the only thing that a checkpoint says it understands; None for general models."""
    return config_settings(config).text("knows", None)


def read_unseen_at(config: Any) -> float:
    """Return the score of "not seen" from which it is the answer, where it is offered."""
    return config_settings(config).number("unseen_at", DEFAULT_UNSEEN_AT, least=0.0, most=1.0)


def kv_shape(config: Any) -> tuple[int, int, int]:
    """Return the decoder's layers, key-value heads of a layer, and width of a head."""
    text = config.get_text_config()
    num_kv_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_hidden_layers, num_kv_heads, head_dim


def _layer_devices(decoder: nn.Module) -> tuple[torch.device, ...]:
    """Return where each decoder layer runs; nothing where all run on one device."""
    devices = []
    for layer in decoder.layers:  # type: ignore[union-attr]
        hook = getattr(layer, "_hf_hook", None)  # accelerate's, where it moves weights in for the run
        runs_on = getattr(hook, "execution_device", None)
        devices.append(next(layer.parameters()).device if runs_on is None else torch.device(runs_on))
    return tuple(devices) if len(set(devices)) > 1 else ()
