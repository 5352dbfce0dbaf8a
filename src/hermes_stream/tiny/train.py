"""Train the embedded checkpoint with the full cache: ``python -m hermes_stream.tiny.train --out FOLDER``.

First the vision tower learns single pictures through a throw-away head; then it is frozen, its pictures are
encoded once, and the decoder learns stories with questions, short ones first. No memory policy takes part.
The run is reproducible from its seed and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaOnevisionForConditionalGeneration

from hermes_stream.tiny.checkpoint import (
    IMAGE_SIZE,
    TOKENS_PER_FRAME,
    build_model,
    build_tokenizer,
    save_checkpoint,
)
from hermes_stream.tiny.lessons import IGNORED, Bank, Classroom, Lesson, draw_bank, lesson_mask
from hermes_stream.tiny.questions import QUESTION_KINDS
from hermes_stream.tiny.world import THINGS

log = logging.getLogger(__name__)

Row = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the curriculum.

    Attributes:
        num_frames: length of the stories, one frame a second.
        num_steps: batches to learn from.
        num_streams: stories in a batch.
        max_gap: longest jump in position between two frames.
        kinds: question kinds to draw from, as often as they are named.
    """

    num_frames: int
    num_steps: int
    num_streams: int = 32
    max_gap: int = 0
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)


_HARD_KINDS = (*QUESTION_KINDS, "was_there", "was_there", "before", "colour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome, next to the versions of the libraries."""

    seed: int = 0
    num_bank_worlds: int = 1500
    num_vision_steps: int = 1500
    vision_learning_rate: float = 1e-3
    learning_rate: float = 1.5e-3
    num_questions: int = 12
    warmup_steps: int = 100
    decay_share: float = 0.2
    weight_decay: float = 0.05
    picture_noise: float = 0.03
    stages: tuple[Stage, ...] = (
        Stage(num_frames=6, num_steps=600),
        Stage(num_frames=12, num_steps=500, kinds=_HARD_KINDS),
        Stage(num_frames=24, num_steps=500, kinds=_HARD_KINDS, max_gap=80),
        Stage(num_frames=48, num_steps=400, num_streams=16, max_gap=40),
    )

    @property
    def num_steps(self) -> int:
        """Steps of the decoder's curriculum."""
        return sum(stage.num_steps for stage in self.stages)

    def rate_at(self, step: int) -> float:
        """Return the decoder's learning rate: warm up, hold, fall to zero in the last share of steps."""
        falling = (self.num_steps - step) / (self.decay_share * self.num_steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup_steps, max(falling, 0.01))


def prepare(pictures: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Resize and normalise as the checkpoint's preprocessing says, with noise: ``[n, 3, size, size]``."""
    pixels = pictures.permute(0, 3, 1, 2).float()
    pixels = F.interpolate(pixels, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True)
    pixels = pixels.clamp(0, 255) / 127.5 - 1
    return pixels + noise * torch.randn(pixels.shape, generator=generator)


def visual_tokens(model: LlavaOnevisionForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Encode single pictures: ``[n, tokens_per_frame, hidden]``."""
    output = model.model.get_video_features(pixels[:, None], return_dict=True)
    return output.pooler_output[:, :TOKENS_PER_FRAME]


def train_vision(model: LlavaOnevisionForConditionalGeneration, bank: Bank, recipe: Recipe) -> float:
    """Teach the vision tower single pictures through a throw-away head; return accuracy on the last ones."""
    generator = torch.Generator().manual_seed(recipe.seed)
    head = nn.Linear(model.config.text_config.hidden_size, 1 + len(THINGS))
    parts = [model.model.vision_tower, model.model.multi_modal_projector, head]
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.vision_learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.vision_learning_rate, total_steps=recipe.num_vision_steps
    )
    right: list[float] = []
    for step in range(recipe.num_vision_steps):
        rows = torch.randint(len(bank.pictures), (128,), generator=generator)
        pixels = prepare(bank.pictures[rows], recipe.picture_noise, generator)
        logits = head(visual_tokens(model, pixels).mean(dim=1))
        loss = F.cross_entropy(logits, bank.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        right.append((logits.argmax(-1) == bank.labels[rows]).float().mean().item())
        if step % 100 == 99:
            log.info("vision %d loss %.3f accuracy %.3f", step + 1, loss.item(), float(np.mean(right[-100:])))
    return float(np.mean(right[-100:]))


@torch.no_grad()
def encode_bank(model: LlavaOnevisionForConditionalGeneration, bank: Bank, recipe: Recipe) -> Tensor:
    """Encode every picture of the bank once: ``[pictures, tokens_per_frame, hidden]``."""
    generator = torch.Generator().manual_seed(recipe.seed + 1)
    parts = bank.pictures.split(512)
    return torch.cat([visual_tokens(model, prepare(p, recipe.picture_noise / 2, generator)) for p in parts])


class Decoder(nn.Module):
    """The decoder over a whole lesson; its output is the logits of every question and answer token."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration, prefix_ids: list[int]) -> None:
        super().__init__()
        self.text = model.model.language_model
        self.image_newline = model.model.image_newline
        self.register_buffer("prefix_ids", torch.tensor(prefix_ids), persistent=False)

    def forward(self, video: Tensor, lesson_ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Return logits of the question blocks ``[streams, questions * block, vocabulary]``."""
        streams, questions, block = lesson_ids.shape
        embed = self.text.embed_tokens
        asked = embed(lesson_ids)
        newline = self.image_newline.expand(streams, questions, 1, -1)
        asked = torch.cat([newline, asked[:, :, 1:]], dim=2).flatten(1, 2)
        prefix = embed(self.prefix_ids).expand(streams, -1, -1)
        hidden = self.text(
            inputs_embeds=torch.cat([prefix, video.flatten(1, 2), asked], dim=1),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
        ).last_hidden_state
        return F.linear(hidden[:, -questions * block :], embed.weight)


def lesson_positions(lesson: Lesson, num_prefix_tokens: int) -> Tensor:
    """Return position ids ``[streams, tokens]``: every question starts where its last frame ended."""
    streams, frames = lesson.pictures.shape
    within = torch.arange(TOKENS_PER_FRAME)
    starts = num_prefix_tokens + torch.arange(frames) * TOKENS_PER_FRAME + lesson.gaps.cumsum(1)
    video = (starts[..., None] + within).flatten(1)
    ends = starts.gather(1, lesson.asked_frames - 1) + TOKENS_PER_FRAME
    asked = (ends[..., None] + torch.arange(lesson.token_ids.shape[2])).flatten(1)
    return torch.cat([torch.arange(num_prefix_tokens).expand(streams, -1), video, asked], dim=1)


class Trainer:
    """Runs the decoder's curriculum, with checkpoints to resume from."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration, bank: Bank, recipe: Recipe) -> None:
        self.model, self.bank, self.recipe = model, bank, recipe
        self.features = encode_bank(model, bank, recipe)
        self.tokenizer = build_tokenizer()
        self.prefix_ids = self.tokenizer("<|im_start|>user ", add_special_tokens=False).input_ids
        self.decoder = Decoder(model, self.prefix_ids)
        self.compiled = torch.compile(self.decoder)
        parameters = list(self.decoder.parameters())
        self.optimizer = torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        )
        self.step = 0

    def run(self, folder: Path, on_row: Callable[[Row], None]) -> None:
        """Go through the stages from the current step; save every 50 steps."""
        end = 0
        for stage in self.recipe.stages:
            end += stage.num_steps
            classroom = Classroom(
                tokenizer=self.tokenizer,
                bank=self.bank,
                num_streams=stage.num_streams,
                num_frames=stage.num_frames,
                num_questions=self.recipe.num_questions,
                kinds=stage.kinds,
                max_gap=stage.max_gap,
            )
            while self.step < end:
                row = self._steps(classroom, min(50, end - self.step))
                with (folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                self.save(folder)
                on_row(row)

    def _steps(self, classroom: Classroom, count: int) -> Row:
        began, losses = time.monotonic(), []
        right: dict[str, list[bool]] = {}
        for _ in range(count):
            losses.append(
                self._learn(classroom.lesson(np.random.default_rng((self.recipe.seed, self.step))), right)
            )
            self.step += 1
        scores = {kind: round(float(np.mean(hits)), 3) for kind, hits in sorted(right.items())}
        return {
            "step": self.step,
            "num_frames": classroom.num_frames,
            "loss": round(float(np.mean(losses)), 4),
            "seconds_per_step": round((time.monotonic() - began) / count, 3),
            **scores,
        }

    def _learn(self, lesson: Lesson, right: dict[str, list[bool]]) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        prefix = len(self.prefix_ids)
        shape = (prefix, lesson.pictures.shape[1], TOKENS_PER_FRAME, lesson.token_ids.shape[2])
        logits = self.compiled(
            self.features[lesson.pictures],
            lesson.token_ids,
            lesson_positions(lesson, prefix),
            lesson_mask(lesson.asked_frames, shape),
        )
        targets = lesson.targets.flatten(1)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        self.optimizer.step()
        hits = ((logits.argmax(-1) == targets) | (targets == IGNORED)).view(*lesson.targets.shape).all(-1)
        for kind, hit in zip(lesson.kinds, hits.flatten().tolist(), strict=True):
            if kind:
                right.setdefault(kind, []).append(hit)
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the state to resume from."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        torch.save(state, folder / "state.pt.new")
        (folder / "state.pt.new").replace(folder / "state.pt")

    def resume(self, folder: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


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
    bank = draw_bank(recipe.num_bank_worlds, seed=1_000_000_000 + recipe.seed)
    log.info("bank of %d pictures", len(bank.pictures))
    vision = folder / "vision.pt"
    if vision.exists():
        model.load_state_dict(torch.load(vision, weights_only=True))
    else:
        accuracy = train_vision(model, bank, recipe)
        log.info("vision accuracy %.3f", accuracy)
        torch.save(model.state_dict(), vision)
    trainer = Trainer(model, bank, recipe)
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
