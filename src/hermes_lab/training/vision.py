"""Training of the vision tower: an auxiliary head names what single temporal patches show.

Then it learns to see the same in every scene.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_lab.training.checkpoint import IMAGE_SIZE, preprocessing_settings
from hermes_lab.training.family import Family
from hermes_lab.training.optimizers import Optimizers, warmup_stable_decay
from hermes_lab.training.stories import IGNORED, frame_centres, frame_labels, render_story
from hermes_stream.models.preprocess import Preprocessing
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import COLOURS, SHAPES, World

log = logging.getLogger(__name__)

# Both families are trained on this plain resize to a square, though the adapter of Qwen2.5-VL resizes by the
# checkpoint's own file: the shipped weights were trained so, and frames of the world come out the same.
_PREPROCESSING = Preprocessing.from_settings(preprocessing_settings(IMAGE_SIZE), image_size=IMAGE_SIZE)
_CODEC_EVERY = 2
_BATCH_SIZE = 128
_CENTRE_WEIGHT = 10.0
_NAMING_WEIGHT_BESIDE_TEACHER = 0.05
_WARMUP_STEPS = 50
_DECAY_SHARE = 0.5
_STEADY_WARMUP_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSamples:
    """Stories as the vision tower reads them.

    Attributes:
        pixels: float16 ``[stories, frames, 3, size, size]``.
        patch_frames: which frames each temporal patch of a story shows ``[patches, frames]``.
        labels: what is where, int8 ``[stories, frames, cells, labels]``.
        centres: the thing's centre (x, y), shares of the side, ``[stories, frames, cells, 2]``.
    """

    pixels: Tensor
    patch_frames: Tensor
    labels: Tensor
    centres: Tensor

    def patches(self, indices: Tensor, *, noise: float, generator: torch.Generator) -> Tensor:
        """Return temporal patches with noise: ``[indices, frames, 3, size, size]``.

        Args:
            indices: of temporal patches, counted through all stories.
            noise: standard deviation added to pixel values, which are between -1 and 1.
            generator: of the noise.
        """
        stories, own = indices // len(self.patch_frames), indices % len(self.patch_frames)
        pixels = self.pixels[stories[:, None], self.patch_frames[own]].float()
        return pixels + noise * torch.randn(pixels.shape, generator=generator)

    @property
    def patch_labels(self) -> Tensor:
        """Labels of temporal patches, those of their last frames: ``[stories, patches, cells, labels]``."""
        return self.labels[:, self.patch_frames[:, -1]]


def render_samples(
    family: Family,
    worlds: tuple[World, ...],
    num_seconds: int,
    *,
    through_codec: bool = True,
    artists: Executor | None = None,
) -> VisionSamples:
    """Render every story at the family's rate; every second story goes through H.264, or none.

    Args:
        family: the model's.
        worlds: the stories.
        num_seconds: length of each.
        through_codec: whether every second story goes through H.264.
        artists: processes that render stories side by side; None renders one after the other, here.
    """
    draw = partial(_render_one, num_frames=num_seconds * family.fps, fps=family.fps)
    is_coded = [through_codec and k % _CODEC_EVERY == 0 for k in range(len(worlds))]
    every = (artists.map if artists else map)(draw, worlds, is_coded)
    pixels, labels, centres = (torch.from_numpy(np.stack(one)) for one in zip(*every, strict=True))
    return VisionSamples(
        pixels=pixels, patch_frames=family.list_patches(num_seconds), labels=labels, centres=centres
    )


def _render_one(world: World, is_coded: bool, *, num_frames: int, fps: int) -> tuple[NDArray[Any], ...]:
    """Return a story's pixels, labels and centres; as arrays, since tensors would come by open files."""
    pixels = to_pixels(render_story(world, num_frames, through_codec=is_coded, fps=fps)).half()
    labels, centres = frame_labels(world, num_frames, fps=fps), frame_centres(world, num_frames, fps=fps)
    return pixels.numpy(), labels.numpy(), centres.numpy()


@contextmanager
def hire_artists() -> Iterator[Executor]:
    """Give as many processes as torch has threads, each with one, for ``render_samples``."""
    # Not forked: a process that was forked behind torch's threads may wait for them for ever.
    context, count = multiprocessing.get_context("forkserver"), torch.get_num_threads()
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(count, context, initializer=torch.set_num_threads, initargs=(1,)) as artists:
        yield artists


def to_pixels(images: list[NDArray[np.uint8]]) -> Tensor:
    """Resize and normalise as the checkpoint's preprocessing says: ``[images, 3, size, size]``."""
    return _PREPROCESSING.pixels(images, device=torch.device("cpu"), dtype=torch.float32).values


class VisionHead(nn.Module):
    """Names a visual token's thing by the decoder's own word embeddings, which learn with it.

    So a frame of a red circle and the words "red circle" share directions before the decoder learns.
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
        colours, shapes = (
            torch.cat([self.words(ids), self.nothing[None]]) for ids in (self.colours, self.shapes)
        )
        return tokens @ colours.T * self.scale, tokens @ shapes.T * self.scale, self.centre(tokens)


def train_vision(
    family: Family,
    model: Any,
    samples: VisionSamples,
    *,
    num_steps: int,
    learning_rates: tuple[float, float],
    noise: float,
    seed: int,
    teacher: Callable[[Tensor], Tensor] | None = None,
) -> float:
    """Train the tower to say what is where; return the accuracy of its last 100 batches.

    Args:
        family: the model's.
        model: learns in place.
        samples: to learn from; a temporal patch is labelled by its last frame.
        num_steps: batches of 128 temporal patches.
        learning_rates: the peaks of Muon and of AdamW.
        noise: standard deviation added to pixel values, which are between -1 and 1.
        seed: of batches and noise.
        teacher: gives the tokens to learn for single frames ``[n, 1, 3, side, side]``; word embeddings then
            stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    head = VisionHead(model, family.build_tokenizer())
    head.words.weight.requires_grad_(teacher is None)
    optimizers = Optimizers(
        [*family.vision_modules(model), head],
        muon_lr=learning_rates[0],
        adamw_lr=learning_rates[1],
        weight_decay=0.01,
    )
    labels = samples.patch_labels.flatten(0, 1).long()
    centres = samples.centres[:, samples.patch_frames[:, -1]].flatten(0, 1)
    accuracies: list[float] = []
    for step in range(num_steps):
        indices = torch.randint(len(labels), (_BATCH_SIZE,), generator=generator)
        pixels = samples.patches(indices, noise=noise, generator=generator)
        tokens = family.visual_tokens(model, pixels)
        loss, accuracy, distance = _naming_loss(head(tokens), labels[indices], centres[indices])
        if teacher:
            loss = _NAMING_WEIGHT_BESIDE_TEACHER * loss + _teacher_loss(tokens, teacher(pixels[:, -1:]))
        scale = warmup_stable_decay(step, num_steps, warmup_steps=_WARMUP_STEPS, decay_share=_DECAY_SHARE)
        optimizers.step(loss, scale=scale)
        accuracies.append(accuracy)
        if step % 100 == 99:
            mean = float(np.mean(accuracies[-100:]))
            message = "vision %d loss %.4f accuracy %.3f centres off by %.3f"
            log.info(message, step + 1, loss.item(), mean, distance)
    head.words.weight.requires_grad_(True)
    return float(np.mean(accuracies[-100:]))


def steady_vision(
    family: Family,
    model: Any,
    worlds: tuple[World, ...],
    num_seconds: int,
    *,
    num_steps: int,
    learning_rates: tuple[float, float],
    noise: float,
    seed: int,
    artists: Executor | None = None,
) -> float:
    """Teach a trained tower to give, in any scene, the tokens that it gave of the story before a plain wall.

    What reads the tokens need not learn anew: those of a plain wall stay as they are. Where the camera moves,
    the story has no plain picture, and the tokens of its own picture stay.

    Args:
        family: the model's.
        model: its tower learns in place.
        worlds: stories in their scenes.
        num_seconds: length of the stories.
        num_steps: batches of 128 temporal patches.
        learning_rates: of Muon and of AdamW at the first step; they fall to nothing.
        noise: standard deviation added to pixel values, which are between -1 and 1.
        seed: of batches and noise.
        artists: processes that render the stories; None renders them here.

    Returns:
        The share of the variance of the plain wall's tokens that the last 50 batches missed.
    """
    generator = torch.Generator().manual_seed(seed)
    teacher = deepcopy(model).eval().requires_grad_(False)
    plain = tuple(one if SCENES[one.scene].shift else replace(one, scene="still") for one in worlds)
    seen = render_samples(family, worlds, num_seconds, artists=artists)
    wanted = render_samples(family, plain, num_seconds, through_codec=False, artists=artists)
    optimizers = Optimizers(
        family.vision_modules(model),
        muon_lr=learning_rates[0],
        adamw_lr=learning_rates[1],
        weight_decay=0.0,
    )
    losses: list[float] = []
    for step in range(num_steps):
        indices = torch.randint(seen.patch_labels.shape[:2].numel(), (_BATCH_SIZE,), generator=generator)
        with torch.no_grad():
            plain_pixels = wanted.patches(indices, noise=0.0, generator=generator)
            taught = family.visual_tokens(teacher, plain_pixels)
        tokens = family.visual_tokens(model, seen.patches(indices, noise=noise, generator=generator))
        loss = _teacher_loss(tokens, taught)
        scale = warmup_stable_decay(step, num_steps, warmup_steps=_STEADY_WARMUP_STEPS, decay_share=1.0)
        optimizers.step(loss, scale=scale)
        losses.append(float(loss.detach()))
        if step % 50 == 49:
            log.info("steady vision %d loss %.4f", step + 1, np.mean(losses[-50:]))
    return float(np.mean(losses[-50:]))


def _naming_loss(
    outputs: tuple[Tensor, Tensor, Tensor], labels: Tensor, centres: Tensor
) -> tuple[Tensor, float, float]:
    """Return the loss of a head's outputs, the share of things named right, and how far off centres are."""
    *logits_of_both, predicted_centres = outputs
    has_thing = labels[..., 0] != IGNORED
    loss = _CENTRE_WEIGHT * F.mse_loss(predicted_centres[has_thing], centres[has_thing])
    is_right = torch.ones(labels.shape[:2], dtype=torch.bool)
    for logits, own in zip(logits_of_both, (labels[..., 0], labels[..., 1]), strict=True):
        label = torch.where(own == IGNORED, logits.shape[-1] - 1, own)
        loss = loss + F.cross_entropy(logits.flatten(0, 1), label.flatten())
        is_right &= logits.argmax(-1) == label
    distance = (predicted_centres[has_thing] - centres[has_thing]).norm(dim=-1).mean().item()
    return loss, is_right[has_thing].float().mean().item(), distance


def _teacher_loss(tokens: Tensor, taught: Tensor) -> Tensor:
    """Return the share of the variance of the teacher's tokens that is missed."""
    return F.mse_loss(tokens, taught) / taught.var(dim=(0, 1)).mean()


@torch.no_grad()
def encode_samples(family: Family, model: Any, samples: VisionSamples, *, noise: float, seed: int) -> Tensor:
    """Encode every temporal patch once: ``[stories, patches, tokens per patch, hidden]``."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(samples.pixels), len(samples.patch_frames))
    encoded = [
        family.visual_tokens(model, samples.patches(indices, noise=noise, generator=generator))
        for indices in torch.arange(shape[0] * shape[1]).split(256)
    ]
    return torch.cat(encoded).unflatten(0, shape)
