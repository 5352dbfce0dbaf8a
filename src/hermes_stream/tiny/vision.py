"""The vision tower's lessons: single pictures, named in the decoder's own words through throw-away heads."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaOnevisionForConditionalGeneration

from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.tiny.checkpoint import (
    IMAGE_SIZE,
    TOKENS_PER_FRAME,
    build_tokenizer,
    preprocessing_settings,
)
from hermes_stream.tiny.lessons import IGNORED, draw_story, take_notes
from hermes_stream.tiny.muon import Optimizers, rise_and_fall
from hermes_stream.tiny.world import COLOURS, GRID, SHAPES, World

log = logging.getLogger(__name__)

_PREPROCESSING = Preprocessing.from_settings(preprocessing_settings(IMAGE_SIZE), image_size=IMAGE_SIZE)
_CODEC_EVERY = 2
_CENTRE_WEIGHT = 10.0
_WARMUP_STEPS = 50
_DECAY_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Stories as the vision tower reads them.

    Attributes:
        pixels: float16 ``[stories, frames, 3, size, size]``.
        notes: what is where, int8 ``[stories, frames, places, notes]``.
        centres: the thing's centre (x, y), shares of the side, ``[stories, frames, places, 2]``.
    """

    pixels: Tensor
    notes: Tensor
    centres: Tensor


def draw_pictures(worlds: tuple[World, ...], num_frames: int) -> Pictures:
    """Draw every story, one picture a second; every second story has gone through H.264."""
    pixels = []
    for k, world in enumerate(worlds):
        pixels.append(to_pixels(draw_story(world, num_frames, through_codec=k % _CODEC_EVERY == 0)).half())
    return Pictures(
        pixels=torch.stack(pixels),
        notes=torch.stack([take_notes(world, num_frames) for world in worlds]),
        centres=torch.stack([find_centres(world, num_frames) for world in worlds]),
    )


def find_centres(world: World, num_frames: int) -> Tensor:
    """Measure where the thing in every place has its centre: ``[frames, places, 2]``, 0 to 1."""
    centres = torch.zeros(num_frames, GRID * GRID, 2)
    for second in range(num_frames):
        for appearance in world.on_screen(second):
            centres[second, appearance.cell_at(second)] = torch.tensor(appearance.centre_at(second))
    return centres


def to_pixels(images: list[NDArray[np.uint8]]) -> Tensor:
    """Resize and normalise as the checkpoint's preprocessing says: ``[images, 3, size, size]``."""
    return _PREPROCESSING.pixel_values(images, device=torch.device("cpu"), dtype=torch.float32)


def visual_tokens(model: LlavaOnevisionForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Encode single pictures: ``[n, tokens_per_frame, hidden]``."""
    output = model.model.get_video_features(pixels[:, None], return_dict=True)
    return output.pooler_output[:, :TOKENS_PER_FRAME]


class VisionHead(nn.Module):
    """Names a visual token's thing by the decoder's own word embeddings, which learn with it.

    So a picture of a red circle and the words "red circle" share directions before the decoder learns.
    """

    def __init__(self, model: LlavaOnevisionForConditionalGeneration) -> None:
        super().__init__()
        tokenizer = build_tokenizer()
        self.words = model.model.language_model.embed_tokens
        self.nothing = nn.Parameter(torch.zeros(self.words.embedding_dim))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.centre = nn.Linear(self.words.embedding_dim, 2)
        self.register_buffer("colours", torch.tensor(tokenizer.convert_tokens_to_ids(list(COLOURS))))
        self.register_buffer("shapes", torch.tensor(tokenizer.convert_tokens_to_ids(list(SHAPES))))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return every token's logits of colours and of shapes, nothing last, and its thing's centre."""
        bank = [torch.cat([self.words(ids), self.nothing[None]]) for ids in (self.colours, self.shapes)]
        return tokens @ bank[0].T * self.scale, tokens @ bank[1].T * self.scale, self.centre(tokens)


def train_vision(
    model: LlavaOnevisionForConditionalGeneration,
    pictures: Pictures,
    *,
    num_steps: int,
    learning_rates: tuple[float, float],
    noise: float,
    seed: int,
) -> float:
    """Teach tower and projector what is where; return the share of things named right in the last pictures.

    Args:
        model: learns in place.
        pictures: to learn from.
        num_steps: batches of 128 pictures.
        learning_rates: the highest of matrices and of everything else.
        noise: standard deviation added to pixel values, which are between -1 and 1.
        seed: of batches and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    head = VisionHead(model)
    optimizers = Optimizers(
        [model.model.vision_tower, model.model.multi_modal_projector, head],
        matrix_rate=learning_rates[0],
        other_rate=learning_rates[1],
        weight_decay=0.01,
    )
    pixels, notes = pictures.pixels.flatten(0, 1), pictures.notes.flatten(0, 1).long()
    places = pictures.centres.flatten(0, 1)
    right: list[float] = []
    for step in range(num_steps):
        rows = torch.randint(len(pixels), (128,), generator=generator)
        batch = pixels[rows].float()
        batch += noise * torch.randn(batch.shape, generator=generator)
        colours, shapes, centres = head(visual_tokens(model, batch))
        labels = notes[rows]
        there = labels[..., 0] != IGNORED
        loss = _CENTRE_WEIGHT * F.mse_loss(centres[there], places[rows][there])
        hits = torch.ones(labels.shape[:2], dtype=torch.bool)
        for logits, noted in ((colours, labels[..., 0]), (shapes, labels[..., 1])):
            label = torch.where(noted == IGNORED, logits.shape[-1] - 1, noted)
            loss = loss + F.cross_entropy(logits.flatten(0, 1), label.flatten())
            hits &= logits.argmax(-1) == label
        share = rise_and_fall(step, num_steps, warmup_steps=_WARMUP_STEPS, decay_share=_DECAY_SHARE)
        optimizers.step(loss, share=share)
        right.append(hits[there].float().mean().item())
        if step % 100 == 99:
            apart = (centres[there] - places[rows][there]).norm(dim=-1).mean().item()
            log.info(
                "vision %d loss %.4f right %.3f centres off by %.3f",
                step + 1,
                loss.item(),
                float(np.mean(right[-100:])),
                apart,
            )
    return float(np.mean(right[-100:]))


@torch.no_grad()
def encode_pictures(
    model: LlavaOnevisionForConditionalGeneration, pictures: Pictures, *, noise: float, seed: int
) -> Tensor:
    """Encode every picture once: ``[stories, frames, tokens_per_frame, hidden]``."""
    generator = torch.Generator().manual_seed(seed)
    encoded = []
    for part in pictures.pixels.flatten(0, 1).split(256):
        pixels = part.float()
        encoded.append(visual_tokens(model, pixels + noise * torch.randn(pixels.shape, generator=generator)))
    return torch.cat(encoded).unflatten(0, pictures.pixels.shape[:2])
