"""Qwen2-VL and Qwen2.5-VL: frames of any shape, two encoded as one; one axis of the position is time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.models.card import build_card, build_layout, config_settings
from hermes_stream.models.chat import split_chat
from hermes_stream.models.checkpoint import Checkpoint
from hermes_stream.models.patch_tower import PatchTower
from hermes_stream.models.patches import Bounds, PatchPreprocessing
from hermes_stream.models.token_layout import lay_out_over_time, patch_seconds
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

MIN_VIDEO_TOKENS = 128
MAX_VIDEO_TOKENS = 768
_TEXT_AFTER_VIDEO: dict[str | int, Literal["clock", "picture"]] = {"clock": "clock", "picture": "picture"}


@final
class Qwen2VL(VideoModel):
    """Adapter of transformers' ``Qwen2VLForConditionalGeneration``: axis t counts temporal patches.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "qwen2_vl"
    default_fps = 1.0
    has_dynamic_resolution = True
    preprocessing: PatchPreprocessing

    def __init__(self, checkpoint: Checkpoint) -> None:
        _set_up(self, checkpoint)
        self._model, self._tower = checkpoint.model, PatchTower(self.vision)

    def encode(self, pixels: Pixels) -> Features:
        """Encode temporal patches one by one with the vision tower."""
        return encode_patches(self._model, self._tower, pixels)

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,  # noqa: ARG002
        num_patches_before: int,
    ) -> VisualTokens:
        """Count temporal patches on axis t, whatever their rate."""
        seconds = patch_seconds(frames, self.card.frames_per_temporal_patch)
        time = num_patches_before + torch.arange(features.grid[0], dtype=torch.float64)
        return lay_out_over_time(features, seconds=seconds, time=time)

    def num_tokens(self, height: int, width: int) -> int:
        """Return the number of tokens of a temporal patch of such frames."""
        return self.preprocessing.tokens(height, width)


@final
class Qwen25VL(VideoModel):
    """Adapter of transformers' ``Qwen2_5_VLForConditionalGeneration``: axis t runs with the seconds.

    Args:
        checkpoint: the loaded model with its tokenizer and files.
    """

    family = "qwen2_5_vl"
    default_fps = 1.0
    has_dynamic_resolution = True
    preprocessing: PatchPreprocessing

    def __init__(self, checkpoint: Checkpoint) -> None:
        _set_up(self, checkpoint)
        self._model, self._tower = checkpoint.model, PatchTower(self.vision)

    def encode(self, pixels: Pixels) -> Features:
        """Encode temporal patches one by one with the vision tower."""
        return encode_patches(self._model, self._tower, pixels)

    def lay_out(
        self,
        features: Features,
        frames: Sequence[Frame],
        *,
        start_seconds: float,
        num_patches_before: int,  # noqa: ARG002
    ) -> VisualTokens:
        """Let axis t run with the presentation times, at the checkpoint's ``tokens_per_second``."""
        seconds = patch_seconds(frames, self.card.frames_per_temporal_patch)
        time = (seconds - start_seconds) * self._model.config.vision_config.tokens_per_second
        # Rounded down later: 0.3 s after 0.1 s, at 10 a second, must be 2 and not 1.99...
        return lay_out_over_time(features, seconds=seconds, time=time + 1e-3)

    def num_tokens(self, height: int, width: int) -> int:
        """Return the number of tokens of a temporal patch of such frames."""
        return self.preprocessing.tokens(height, width)


def _set_up(adapter: Qwen2VL | Qwen25VL, checkpoint: Checkpoint) -> None:
    """Set all that a ``VideoModel`` holds; the two families differ in their lay-out alone."""
    model = checkpoint.model
    config, decoder = model.config, model.model.language_model
    adapter.vision, adapter.decoder, adapter.head = model.model.visual, decoder, model.lm_head
    adapter.preprocessing = read_preprocessing(checkpoint)
    adapter.card = build_card(
        checkpoint,
        tokens_per_temporal_patch=adapter.preprocessing.max_tokens,
        frames_per_temporal_patch=config.vision_config.temporal_patch_size,
        default_fps=adapter.default_fps,
        text_after_video=config_settings(config).choice("text_after_video", _TEXT_AFTER_VIDEO, "picture"),
    )
    adapter.layout = build_layout(checkpoint, RotaryLayout.sectioned(*read_rotary(checkpoint)))
    adapter.chat = split_chat(
        checkpoint.tokenizer,
        placeholder=str(checkpoint.tokenizer.convert_ids_to_tokens(config.video_token_id)),
        stop_token_ids=checkpoint.stop_token_ids,
        template=checkpoint.chat_template,
    )
    adapter.video_end = adapter.embed([])


def encode_patches(model: Any, tower: PatchTower, pixels: Pixels) -> Features:
    """Run patches through the vision tower; each temporal patch is encoded on its own.

    Args:
        model: transformers' model.
        tower: of the model.
        pixels: from ``PatchPreprocessing``.
    """
    count, rows, columns = pixels.grid
    # All that is made of the grid is in the plan; the host, which divides by it, need not wait for it.
    sizes, plan = torch.tensor([pixels.grid]), tower.plan(pixels.grid)
    output = model.model.get_video_features(pixels.values, video_grid_thw=sizes, return_dict=True, **plan)
    levels = getattr(output, "deepstack_features", None)
    merge = model.model.visual.spatial_merge_size
    return Features(
        tokens=torch.cat(output.pooler_output).to(model.dtype),
        deepstack=torch.stack([_joined(level) for level in levels]).to(model.dtype) if levels else None,
        grid=(count, rows // merge, columns // merge),
    )


def _joined(level: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the features of one layer of the tower; older releases of transformers do not split them."""
    return level if isinstance(level, Tensor) else torch.cat(tuple(level))


def read_preprocessing(checkpoint: Checkpoint, *, bounds: Bounds = "frame") -> PatchPreprocessing:
    """Read a checkpoint's preprocessing, with a bound on pixels that a stream can live with.

    Two families bring the bounds of single images only, 16,384 tokens, and one bounds a whole clip, 24,576
    tokens. Buffers are made for the largest frame, so that a checkpoint's bound counts up to the official one
    of a video frame, 768 tokens, or a sixth of the model's positions. More can be asked for. The official
    lower bound gives way to a low upper one: it is a quarter of that at most.

    Args:
        checkpoint: its ``min_pixels`` and ``max_pixels``, if asked for, are those of one frame.
        bounds: what the bounds of the checkpoint's file count.
    """
    config = checkpoint.model.config
    vision = config.vision_config
    num_frames = 1 if bounds == "frame" else vision.temporal_patch_size
    token_pixels = (vision.patch_size * vision.spatial_merge_size) ** 2 * num_frames
    limit = min(MAX_VIDEO_TOKENS, config.text_config.max_position_embeddings // 6) * token_pixels
    own = PatchPreprocessing.from_settings(
        checkpoint.preprocessing, vision, default_min_pixels=1, default_max_pixels=limit, bounds=bounds
    )
    asked_min = (checkpoint.min_pixels or 0) * num_frames
    asked_max = (checkpoint.max_pixels or 0) * num_frames
    max_pixels = asked_max or max(min(own.max_pixels, limit), asked_min)
    is_named = 1 < own.min_pixels <= max_pixels
    min_pixels = own.min_pixels if is_named else min(MIN_VIDEO_TOKENS * token_pixels, max_pixels // 4)
    return replace(own, min_pixels=asked_min or min_pixels, max_pixels=max_pixels)


def read_rotary(checkpoint: Checkpoint) -> tuple[Float[Tensor, " frequencies"], tuple[int, ...]]:
    """Return the text model's rotary frequencies in float32, and how many follow each of t, h and w.

    Raises:
        ModelError: the config does not name the sections.
    """
    parameters = checkpoint.model.config.text_config.rope_parameters or {}
    if "mrope_section" not in parameters:
        raise ModelError(
            f"the config of model {checkpoint.name!r} must name mrope_section in its rope_parameters or "
            f"rope_scaling, it names {sorted(parameters)}"
        )
    inv_freq: Tensor = checkpoint.model.model.language_model.rotary_emb.inv_freq
    return inv_freq.float(), tuple(parameters["mrope_section"])
