"""Random checkpoints in true architecture, saved and loaded as any other; and streams of random pictures."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlavaOnevisionForConditionalGeneration, Qwen2Model

from hermes_lab.training.checkpoint import build_config, save_checkpoint
from hermes_stream.models import VideoModel
from hermes_stream.video.frame import Frame

IMAGE_SIZE = 24
TOKENS_PER_TEMPORAL_PATCH = 9
# What a plain decoder calls the past that it is given and returns; the first from transformers 5.24 on.
PAST = "cache" if "cache" in signature(Qwen2Model.forward).parameters else "past_key_values"


def save_random_checkpoint(
    folder: Path, *, seed: int = 0, max_positions: int = 4096, num_layers: int = 10
) -> Path:
    """Write a LLaVA-OneVision checkpoint with random weights, and return its folder."""
    config = build_config()
    config.text_config.num_hidden_layers = num_layers
    config.text_config.layer_types = config.text_config.layer_types[:num_layers]
    config.vision_config.image_size, config.vision_config.patch_size = IMAGE_SIZE, 4
    config.vision_config.hidden_size, config.vision_config.intermediate_size = 32, 32
    config.vision_config.num_hidden_layers = 1
    config.text_config.hidden_size, config.text_config.intermediate_size = 64, 64
    config.text_config.max_position_embeddings = max_positions
    del config.guidance_prompts, config.training_frames, config.multiple_choice, config.knows
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    # Random weights at their default scale attend almost evenly; larger ones make positions and keys matter.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "language_model" in name and weight.dim() == 2:
                weight.mul_(4)
    save_checkpoint(model, folder)
    return folder


def random_frames(count: int, *, seed: int = 0, fps: float = 1.0, start: float = 0.0) -> list[Frame]:
    """Return frames of random blocks of colour."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, size=(count, 4, 4, 3), dtype=np.uint8).repeat(6, axis=1).repeat(6, axis=2)
    return [Frame(pts_seconds=start + k / fps, image=picture) for k, picture in enumerate(pictures)]


def plain_inputs(model: VideoModel, frames: list[Frame], question: str) -> dict[str, Any]:
    """Return what plain transformers needs for the same video and question."""
    chat = model.chat
    num_visual = len(frames) * model.card.tokens_per_temporal_patch + 1
    text = chat.before_video + "<video>" * num_visual + chat.before_question + question + chat.after_question
    pixels = np.stack([frame.image for frame in frames]).astype(np.float32) / 127.5 - 1
    return {
        "input_ids": torch.tensor([chat.encode(text)]),
        "pixel_values_videos": torch.from_numpy(pixels).permute(0, 3, 1, 2)[None],
    }


def plain_model(folder: Path, implementation: str = "sdpa") -> LlavaOnevisionForConditionalGeneration:
    """Load the same checkpoint as transformers alone does."""
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, attn_implementation=implementation)
    return model.eval()


def visual_tokens(model, frames, *, start_seconds, num_patches_before):
    """Return what frames become in the decoder: prepare, encode and lay out in turn."""
    features = model.encode(model.prepare(frames))
    return model.lay_out(features, frames, start_seconds=start_seconds, num_patches_before=num_patches_before)
