"""What the Qwen-VL families share: their cards, their patches, and the call of their vision towers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import RotaryLayout
from hermes_stream.models.base import ModelCard
from hermes_stream.models.card import build_card, build_layout
from hermes_stream.models.chat import Chat, split_chat
from hermes_stream.models.loading.checkpoint import Checkpoint
from hermes_stream.models.patches import Bounds, PatchPreprocessing
from hermes_stream.models.visual import Features, Pixels
from hermes_stream.video.frame import Frame

MIN_VIDEO_TOKENS = 128
MAX_VIDEO_TOKENS = 768
_LONGEST = 4  # a side of a picture 16 times as long as wide, where that of a square is 1


def read_card(checkpoint: Checkpoint, preprocessing: PatchPreprocessing, *, default_fps: float) -> ModelCard:
    """Return the card of a checkpoint whose frames are temporal patches and have no words."""
    return build_card(
        checkpoint,
        tokens_per_temporal_patch=max_visual_tokens(preprocessing),
        frames_per_temporal_patch=checkpoint.model.config.vision_config.temporal_patch_size,
        default_fps=default_fps,
        text_after_video=read_text_after_video(checkpoint),
    )


def read_sectioned_layout(checkpoint: Checkpoint) -> CacheLayout:
    """Return the layout of a checkpoint with sectioned M-RoPE."""
    rotary = RotaryLayout.sectioned(read_inv_freq(checkpoint), read_sections(checkpoint))
    return build_layout(checkpoint, rotary)


def read_chat(checkpoint: Checkpoint) -> Chat:
    """Return the chat template, split at the placeholder of a video."""
    placeholder = checkpoint.tokenizer.convert_ids_to_tokens(checkpoint.model.config.video_token_id)
    return split_chat(
        checkpoint.tokenizer,
        placeholder=str(placeholder),
        stop_token_ids=checkpoint.stop_token_ids,
        template=checkpoint.chat_template,
    )


def prepare_patches(model: Any, preprocessing: PatchPreprocessing, frames: Sequence[Frame]) -> Pixels:
    """Cut pictures into patches.

    Args:
        model: transformers' model.
        preprocessing: from ``read_preprocessing``.
        frames: at least one picture, all of one size.
    """
    visual = model.model.visual
    values, grid = preprocessing.patches(
        [frame.image for frame in frames], device=visual.device, dtype=visual.dtype
    )
    return Pixels(values=values, grid=grid)


def encode_patches(model: Any, pixels: Pixels) -> Features:
    """Run patches through the vision tower; each temporal patch is encoded on its own.

    Args:
        model: transformers' model.
        pixels: from ``prepare_patches``.
    """
    visual = model.model.visual
    count, rows, columns = pixels.grid
    grid = torch.tensor([[count, rows, columns]], device=visual.device)
    output = model.model.get_video_features(pixels.values, video_grid_thw=grid, return_dict=True)
    levels = getattr(output, "deepstack_features", None)
    merge = visual.spatial_merge_size
    return Features(
        tokens=torch.cat(output.pooler_output).to(model.dtype),
        deepstack=torch.stack([torch.cat(level) for level in levels]).to(model.dtype) if levels else None,
        grid=(count, rows // merge, columns // merge),
    )


def read_preprocessing(checkpoint: Checkpoint, *, bounds: Bounds = "frame") -> PatchPreprocessing:
    """Read a checkpoint's preprocessing, with a bound that a stream can live with.

    Two families bring the bounds of single images only, 16,384 tokens, and one bounds a whole clip, 24,576
    tokens. Buffers are made for the largest frame, so that a checkpoint's bound counts up to the official one
    of a video frame, 768 tokens, or a sixth of the model's positions. More can be asked for. The official
    lower bound gives way to a low upper one: it is a quarter of that at most.

    Args:
        checkpoint: its ``min_pixels`` and ``max_pixels``, where asked for, are those of one picture.
        bounds: what the bounds of the checkpoint's file count.
    """
    vision, text = checkpoint.model.config.vision_config, checkpoint.model.config.text_config
    side = vision.patch_size * vision.spatial_merge_size
    pictures = 1 if bounds == "frame" else vision.temporal_patch_size
    largest = min(MAX_VIDEO_TOKENS, text.max_position_embeddings // 6) * side**2 * pictures
    own = PatchPreprocessing.from_settings(
        checkpoint.preprocessing,
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
        default_min_pixels=1,
        default_max_pixels=largest,
        bounds=bounds,
    )
    asked = [getattr(checkpoint, name, None) for name in ("min_pixels", "max_pixels")]
    smallest, most = (None if bound is None else bound * pictures for bound in asked)
    most = most or max(min(own.max_pixels, largest), smallest or 0)
    is_named = own.min_pixels > 1 and own.min_pixels <= most
    usual = own.min_pixels if is_named else min(MIN_VIDEO_TOKENS * side**2 * pictures, most // 4)
    return replace(own, min_pixels=smallest or usual, max_pixels=most)


def max_visual_tokens(preprocessing: PatchPreprocessing) -> int:
    """Return the visual tokens of the largest frame, of pictures up to 16 times as long as wide."""
    pictures = 1 if preprocessing.bounds == "frame" else preprocessing.temporal_patch_size
    area = pictures * (preprocessing.patch_size * preprocessing.merge_size) ** 2
    most = preprocessing.max_pixels // area
    in_a_row = math.floor(_LONGEST * math.sqrt(most))  # of a picture that shrinks to less than one row
    return max(most, in_a_row, _most_enlarged(preprocessing.min_pixels / area))


def _most_enlarged(fewest: float) -> int:
    """Return the most tokens of a small picture: enlarged to the fewest, then whole along both sides."""
    longest = _LONGEST * math.sqrt(fewest)
    columns = (min(fewest / max(rows - 1, 1e-9), longest) for rows in range(1, math.ceil(longest) + 1))
    return max(rows * math.ceil(count) for rows, count in enumerate(columns, start=1))


def read_text_after_video(checkpoint: Checkpoint) -> Literal["clock", "picture"]:
    """Return where a question stands: as the config says, or at the picture, as transformers places it.

    Raises:
        ModelError: the config says something else.
    """
    own = getattr(checkpoint.model.config, "text_after_video", "picture")
    if own == "clock":
        return "clock"
    if own == "picture":
        return "picture"
    raise ModelError(f"text_after_video in config.json is {own!r}; accepted: 'clock', 'picture'")


def read_sections(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Return how many rotary frequencies follow each of the axes t, h and w.

    Raises:
        ModelError: the config does not say.
    """
    parameters = checkpoint.model.config.text_config.rope_parameters or {}
    if "mrope_section" not in parameters:
        raise ModelError(
            f"the config of model {checkpoint.name!r} must name mrope_section in its rope_parameters or "
            f"rope_scaling, it names {sorted(parameters)}"
        )
    return tuple(parameters["mrope_section"])


def read_inv_freq(checkpoint: Checkpoint) -> Float[Tensor, " frequencies"]:
    """Return the rotary frequencies of the text model in float32."""
    inv_freq: Tensor = checkpoint.model.model.language_model.rotary_emb.inv_freq
    return inv_freq.float()
