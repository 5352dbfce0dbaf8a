"""Train the embedded checkpoint with the full cache: ``python -m hermes_stream.tiny.train --out FOLDER``.

First the vision tower learns single pictures; then it is frozen, the pictures of each stage's stories are
encoded once, and the decoder learns stories with questions, short ones first. No memory policy takes part.
The run is reproducible from its seed and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, LlavaOnevisionForConditionalGeneration

from hermes_stream.tiny.checkpoint import TOKENS_PER_FRAME, build_chat, build_model, save_checkpoint
from hermes_stream.tiny.lessons import (
    IGNORED,
    NOTES,
    Classroom,
    Lesson,
    draw_worlds,
    lesson_attention,
    question_mask,
)
from hermes_stream.tiny.muon import Optimizers, rise_and_fall
from hermes_stream.tiny.questions import QUESTION_KINDS
from hermes_stream.tiny.vision import draw_pictures, encode_pictures, train_vision
from hermes_stream.tiny.world import Pace

log = logging.getLogger(__name__)

Row = dict[str, float]

_ROW_STEPS = 50
_LEAST_SHARE = 0.01

_HARD_KINDS = (*QUESTION_KINDS, "counting", "counting", "after")
_CALM = Pace()
_BUSY = Pace(stay_seconds=(2, 5), entry_seconds=(1, 2), quiet_seconds=(1, 2), quiet_share=0.15)
_RETURNING = Pace(cast_things=(6, 16))
_LIVELY = Pace(stay_seconds=(3, 6), entry_seconds=(1, 3), quiet_seconds=(1, 3), quiet_share=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the curriculum.

    Attributes:
        num_frames: length of the stories, one frame a second.
        num_steps: batches to learn from.
        num_streams: stories in a batch.
        num_worlds: stories in the bank.
        max_gap: longest jump in position between two frames.
        pace: how eventful the stories are.
        kinds: question kinds that take turns, as often as they are named.
    """

    num_frames: int
    num_steps: int
    num_streams: int = 16
    num_worlds: int = 2000
    max_gap: int = 0
    pace: Pace = _CALM
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome, next to the versions of the libraries."""

    seed: int = 0
    vision: Stage = Stage(num_frames=16, num_steps=1500, num_worlds=1500, pace=_BUSY)
    vision_learning_rates: tuple[float, float] = (6e-3, 2e-3)
    learning_rates: tuple[float, float] = (5e-3, 2e-3)
    num_questions: int = 16
    note_weight: float = 0.5
    warmup_steps: int = 100
    decay_share: float = 0.25
    weight_decay: float = 0.02
    picture_noise: float = 0.03
    stages: tuple[Stage, ...] = (
        Stage(num_frames=8, num_steps=800, num_worlds=3000, pace=_BUSY),
        Stage(num_frames=16, num_steps=500, pace=_LIVELY),
        Stage(num_frames=24, num_steps=350, max_gap=80, pace=_RETURNING),
        Stage(num_frames=48, num_steps=650, num_worlds=1500, max_gap=40, num_streams=8, pace=_RETURNING),
        Stage(num_frames=48, num_steps=500, num_worlds=1500, max_gap=40, num_streams=8, kinds=_HARD_KINDS),
    )

    @property
    def num_steps(self) -> int:
        """Steps of the decoder's curriculum."""
        return sum(stage.num_steps for stage in self.stages)

    def share_at(self, step: int) -> float:
        """Return the share of the decoder's highest learning rates."""
        share = rise_and_fall(
            step, self.num_steps, warmup_steps=self.warmup_steps, decay_share=self.decay_share
        )
        return max(share, _LEAST_SHARE)

    def bank_seed(self, number: int) -> int:
        """Return the first seed of a stage's stories, far from those that anybody asks for."""
        return (1_000 + self.seed) * 1_000_000_000 + number * 1_000_000


class Decoder(nn.Module):
    """The decoder over a whole lesson, with heads for the notes on its middle layer."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration, prefix_ids: list[int]) -> None:
        super().__init__()
        AttentionInterface.register("lesson", lesson_attention)
        model.set_attn_implementation({"text_config": "lesson"})
        self.text = model.model.language_model
        self.image_newline = model.model.image_newline
        hidden = model.config.text_config.hidden_size
        self.notes = nn.Sequential(nn.RMSNorm(hidden), nn.Linear(hidden, sum(NOTES.values())))
        self.register_buffer("prefix_ids", torch.tensor(prefix_ids), persistent=False)

    def forward(
        self, video: Tensor, lesson_ids: Tensor, positions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the logits of question tokens ``[streams, tokens, vocabulary]`` and of the notes."""
        streams, questions, block = lesson_ids.shape
        embed = self.text.embed_tokens
        asked = embed(lesson_ids)
        newline = self.image_newline.expand(streams, questions, 1, -1)
        asked = torch.cat([newline, asked[:, :, 1:]], dim=2).flatten(1, 2)
        prefix = embed(self.prefix_ids).expand(streams, -1, -1)
        seen = slice(prefix.shape[1], prefix.shape[1] + video.shape[1] * video.shape[2])
        hidden = torch.cat([prefix, video.flatten(1, 2), asked], dim=1)
        rotation = self.text.rotary_emb(hidden, positions)
        middle = len(self.text.layers) // 2
        notes = hidden
        for layer_idx, layer in enumerate(self.text.layers):
            if layer_idx == middle:
                notes = self.notes(hidden[:, seen])
            hidden = layer(hidden, attention_mask=mask, position_ids=positions, position_embeddings=rotation)
        hidden = self.text.norm(hidden[:, -questions * block :])
        return F.linear(hidden, embed.weight), notes


def lesson_positions(lesson: Lesson, num_prefix_tokens: int) -> Tensor:
    """Return position ids ``[streams, tokens]``: every question starts where its last frame ended."""
    streams, frames = lesson.gaps.shape
    within = torch.arange(TOKENS_PER_FRAME)
    starts = num_prefix_tokens + torch.arange(frames) * TOKENS_PER_FRAME + lesson.gaps.cumsum(1)
    video = (starts[..., None] + within).flatten(1)
    ends = starts.gather(1, lesson.asked_frames - 1) + TOKENS_PER_FRAME
    asked = (ends[..., None] + torch.arange(lesson.token_ids.shape[2])).flatten(1)
    return torch.cat([torch.arange(num_prefix_tokens).expand(streams, -1), video, asked], dim=1)


class Trainer:
    """Runs the decoder's curriculum, with checkpoints to resume from."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.chat = build_chat()
        torch.manual_seed(recipe.seed)
        self.decoder = Decoder(model, self.chat.prefix_ids)
        self.compiled = torch.compile(self.decoder, dynamic=False)
        self.optimizers = Optimizers(
            [self.decoder],
            matrix_rate=recipe.learning_rates[0],
            other_rate=recipe.learning_rates[1],
            weight_decay=recipe.weight_decay,
        )
        self.step = 0

    def run(self, folder: Path, on_row: Callable[[Row], None]) -> None:
        """Go through the stages from the current step; save after every row of the curve."""
        end = 0
        for number, stage in enumerate(self.recipe.stages, start=1):
            end += stage.num_steps
            if self.step >= end:
                continue
            seed = self.recipe.bank_seed(number)
            worlds = draw_worlds(stage.num_worlds, stage.num_frames, stage.pace, seed)
            pictures = draw_pictures(worlds, stage.num_frames)
            features = encode_pictures(
                self.model, pictures, noise=self.recipe.picture_noise / 2, seed=seed
            ).half()
            classroom = Classroom(
                chat=self.chat,
                worlds=worlds,
                num_streams=stage.num_streams,
                num_frames=stage.num_frames,
                num_questions=self.recipe.num_questions,
                max_gap=stage.max_gap,
                kinds=stage.kinds,
            )
            notes = pictures.notes
            del pictures
            while self.step < end:
                row = self._steps(classroom, features, notes, min(_ROW_STEPS, end - self.step))
                with (folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                self.save(folder)
                on_row(row)

    def _steps(self, classroom: Classroom, features: Tensor, notes: Tensor, count: int) -> Row:
        began, losses, noted = time.monotonic(), [], []
        right: dict[str, list[bool]] = {}
        for _ in range(count):
            lesson = classroom.lesson(np.random.default_rng((self.recipe.seed, self.step)))
            loss, hits = self._learn(
                lesson, features[lesson.stories].float(), notes[lesson.stories].long(), right
            )
            losses.append(loss)
            noted.append(hits)
            self.step += 1
        scores = {kind: round(float(np.mean(hits)), 3) for kind, hits in sorted(right.items())}
        shares = [
            round(float(np.mean([share for share in column if not math.isnan(share)] or [0])), 3)
            for column in zip(*noted, strict=True)
        ]
        return {
            "step": self.step,
            "num_frames": classroom.num_frames,
            "loss": round(float(np.mean(losses)), 4),
            "seconds_per_step": round((time.monotonic() - began) / count, 3),
            **scores,
            **{f"note_{name}": share for name, share in zip(NOTES, shares, strict=True)},
        }

    def _learn(
        self, lesson: Lesson, video: Tensor, notes: Tensor, right: dict[str, list[bool]]
    ) -> tuple[float, list[float]]:
        prefix = len(self.chat.prefix_ids)
        shape = (prefix, video.shape[1], TOKENS_PER_FRAME, lesson.token_ids.shape[2])
        logits, noted = self.compiled(
            video,
            lesson.token_ids,
            lesson_positions(lesson, prefix),
            question_mask(lesson.asked_frames, shape),
        )
        targets = lesson.targets.flatten(1)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        note_losses, note_hits = _mark_notes(noted, notes.flatten(1, 2))
        total = loss + self.recipe.note_weight * note_losses
        self.optimizers.step(total, share=self.recipe.share_at(self.step))
        hits = ((logits.argmax(-1) == targets) | (targets == IGNORED)).view(*lesson.targets.shape).all(-1)
        for kind, hit in zip(lesson.kinds, hits.flatten().tolist(), strict=True):
            if kind:
                right.setdefault(kind, []).append(hit)
        return float(loss.detach()), note_hits

    def save(self, folder: Path) -> None:
        """Write the state to resume from."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "notes": self.decoder.notes.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "step": self.step,
        }
        torch.save(state, folder / "state.pt.new")
        (folder / "state.pt.new").replace(folder / "state.pt")

    def resume(self, folder: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.decoder.notes.load_state_dict(state["notes"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.step = state["step"]


def _mark_notes(logits: Tensor, notes: Tensor) -> tuple[Tensor, list[float]]:
    """Return the mean loss over the notes, and the share of right ones for each."""
    loss, hits = torch.tensor(0.0), []
    for part, label in zip(logits.split(list(NOTES.values()), dim=-1), notes.unbind(-1), strict=True):
        there = label != IGNORED
        if not there.any():
            hits.append(math.nan)
            continue
        loss = loss + F.cross_entropy(part[there], label[there]) / len(NOTES)
        hits.append((part[there].argmax(-1) == label[there]).float().mean().item())
    return loss, hits


def train(folder: Path, recipe: Recipe, *, on_row: Callable[[Row], None] = lambda _: None) -> None:
    """Train from the recipe, or go on in a folder that holds a started run, and write the checkpoint.

    Args:
        folder: for the run's state, its curve, and the finished ``checkpoint``.
        recipe: what to do; a started run goes on with the recipe given now.
        on_row: is told every 50 steps how the run stands.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    model = build_model(recipe.seed)
    vision = folder / "vision.pt"
    if vision.exists():
        model.load_state_dict(torch.load(vision, weights_only=True))
    else:
        stage = recipe.vision
        worlds = draw_worlds(stage.num_worlds, stage.num_frames, stage.pace, recipe.bank_seed(0))
        accuracy = train_vision(
            model,
            draw_pictures(worlds, stage.num_frames),
            num_steps=stage.num_steps,
            learning_rates=recipe.vision_learning_rates,
            noise=recipe.picture_noise,
            seed=recipe.seed,
        )
        log.info("vision accuracy %.4f", accuracy)
        torch.save(model.state_dict(), vision)
    trainer = Trainer(model, recipe)
    if (folder / "state.pt").exists():
        trainer.resume(folder)
    trainer.run(folder, on_row)
    save_checkpoint(model, folder / "checkpoint")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="llava_onevision", choices=["llava_onevision"])
    parser.add_argument("--out", type=Path, default=Path(".training/llava_onevision"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(arguments.out, Recipe(seed=arguments.seed), on_row=lambda row: log.info("%s", json.dumps(row)))


if __name__ == "__main__":
    main()
