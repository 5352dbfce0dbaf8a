"""The vision tower's lessons: single pictures, named in the decoder's own words through throw-away heads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_lab.training.checkpoint import (
    IMAGE_SIZE,
    preprocessing_settings,
)
from hermes_lab.training.family import Family
from hermes_lab.training.lessons import IGNORED, draw_story, take_notes
from hermes_lab.training.muon import Optimizers, rise_and_fall
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.synthetic.world import COLOURS, GRID, SHAPES, World

log = logging.getLogger(__name__)

_PREPROCESSING = Preprocessing.from_settings(preprocessing_settings(IMAGE_SIZE), image_size=IMAGE_SIZE)
_CODEC_EVERY = 2
_CENTRE_WEIGHT = 10.0
_NAMING_WEIGHT_BESIDE_TEACHER = 0.05
_WARMUP_STEPS = 50
_DECAY_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Stories as the vision tower reads them.

    Attributes:
        pixels: float16 ``[stories, frames, 3, size, size]``.
        shows: which frames each glimpse of a story shows ``[glimpses, pictures]``.
        notes: what is where, int8 ``[stories, frames, places, notes]``.
        centres: the thing's centre (x, y), shares of the side, ``[stories, frames, places, 2]``.
    """

    pixels: Tensor
    shows: Tensor
    notes: Tensor
    centres: Tensor

    def show(self, rows: Tensor, *, noise: float, generator: torch.Generator) -> Tensor:
        """Return glimpses, counted through all stories, with noise: ``[rows, pictures, 3, size, size]``."""
        stories, glimpses = rows // len(self.shows), rows % len(self.shows)
        pixels = self.pixels[stories[:, None], self.shows[glimpses]].float()
        return pixels + noise * torch.randn(pixels.shape, generator=generator)


def draw_pictures(family: Family, worlds: tuple[World, ...], num_seconds: int) -> Pictures:
    """Draw every story at the family's rate; every second story has gone through H.264."""
    fps = family.pictures_per_second
    num_frames = num_seconds * fps
    pixels = []
    for k, world in enumerate(worlds):
        through_codec = k % _CODEC_EVERY == 0
        pixels.append(to_pixels(draw_story(world, num_frames, through_codec=through_codec, fps=fps)).half())
    return Pictures(
        pixels=torch.stack(pixels),
        shows=family.glimpses(num_seconds),
        notes=torch.stack([take_notes(world, num_frames, fps=fps) for world in worlds]),
        centres=torch.stack([find_centres(world, num_frames, fps=fps) for world in worlds]),
    )


def find_centres(world: World, num_frames: int, *, fps: int = 1) -> Tensor:
    """Measure where the thing in every place has its centre: ``[frames, places, 2]``, 0 to 1."""
    centres = torch.zeros(num_frames, GRID * GRID, 2)
    for frame in range(num_frames):
        seconds = frame / fps
        for appearance in world.on_screen(seconds):
            centres[frame, appearance.cell_at(seconds)] = torch.tensor(appearance.centre_at(seconds))
    return centres


def to_pixels(images: list[NDArray[np.uint8]]) -> Tensor:
    """Resize and normalise as the checkpoint's preprocessing says: ``[images, 3, size, size]``."""
    return _PREPROCESSING.pixels(images, device=torch.device("cpu"), dtype=torch.float32).values


class VisionHead(nn.Module):
    """Names a visual token's thing by the decoder's own word embeddings, which learn with it.

    So a picture of a red circle and the words "red circle" share directions before the decoder learns.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
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
    family: Family,
    model: Any,
    pictures: Pictures,
    *,
    num_steps: int,
    learning_rates: tuple[float, float],
    noise: float,
    seed: int,
    teacher: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """Teach the tower what is where; return the share of things named right in the last pictures.

    A glimpse counts as showing what its last picture shows.

    Args:
        family: the model's.
        model: learns in place.
        pictures: to learn from.
        num_steps: batches of 128 pictures.
        learning_rates: the highest of matrices and of everything else.
        noise: standard deviation added to pixel values, which are between -1 and 1.
        seed: of batches and noise.
        teacher: gives the tokens to learn for single pictures ``[n, 1, 3, size, size]``; words then stay.
    """
    generator = torch.Generator().manual_seed(seed)
    head = VisionHead(model, family.build_tokenizer())
    head.words.weight.requires_grad_(teacher is None)
    optimizers = Optimizers(
        [*family.vision_modules(model), head],
        matrix_rate=learning_rates[0],
        other_rate=learning_rates[1],
        weight_decay=0.01,
    )
    last = pictures.shows[:, -1]
    notes = pictures.notes[:, last].flatten(0, 1).long()
    places = pictures.centres[:, last].flatten(0, 1)
    right: list[float] = []
    for step in range(num_steps):
        rows = torch.randint(len(notes), (128,), generator=generator)
        batch = pictures.show(rows, noise=noise, generator=generator)
        tokens = family.visual_tokens(model, batch)
        loss, hits, apart = _mark(head(tokens), notes[rows], places[rows])
        if teacher:
            loss = _NAMING_WEIGHT_BESIDE_TEACHER * loss + _unlikeness(tokens, teacher(batch[:, -1:]))
        share = rise_and_fall(step, num_steps, warmup_steps=_WARMUP_STEPS, decay_share=_DECAY_SHARE)
        optimizers.step(loss, share=share)
        right.append(hits)
        if step % 100 == 99:
            log.info(
                "vision %d loss %.4f right %.3f centres off by %.3f",
                step + 1,
                loss.item(),
                float(np.mean(right[-100:])),
                apart,
            )
    head.words.weight.requires_grad_(True)
    return float(np.mean(right[-100:]))


def _mark(
    named: tuple[Tensor, Tensor, Tensor], labels: Tensor, places: Tensor
) -> tuple[Tensor, float, float]:
    """Return the loss of what was named, the share of things right, and how far off their centres are."""
    *things, centres = named
    there = labels[..., 0] != IGNORED
    loss = _CENTRE_WEIGHT * F.mse_loss(centres[there], places[there])
    hits = torch.ones(labels.shape[:2], dtype=torch.bool)
    for logits, noted in zip(things, (labels[..., 0], labels[..., 1]), strict=True):
        label = torch.where(noted == IGNORED, logits.shape[-1] - 1, noted)
        loss = loss + F.cross_entropy(logits.flatten(0, 1), label.flatten())
        hits &= logits.argmax(-1) == label
    apart = (centres[there] - places[there]).norm(dim=-1).mean().item()
    return loss, hits[there].float().mean().item(), apart


def _unlikeness(tokens: Tensor, taught: Tensor) -> Tensor:
    """Return the share of the taught tokens' variance that is missed."""
    return F.mse_loss(tokens, taught) / taught.var(dim=(0, 1)).mean()


@torch.no_grad()
def encode_pictures(family: Family, model: Any, pictures: Pictures, *, noise: float, seed: int) -> Tensor:
    """Encode every glimpse once: ``[stories, glimpses, tokens_per_temporal_patch, hidden]``."""
    generator = torch.Generator().manual_seed(seed)
    encoded = []
    shape = (len(pictures.pixels), len(pictures.shows))
    for rows in torch.arange(shape[0] * shape[1]).split(256):
        encoded.append(family.visual_tokens(model, pictures.show(rows, noise=noise, generator=generator)))
    return torch.cat(encoded).unflatten(0, shape)
