"""Train the embedded checkpoint with the full cache: ``python -m hermes_lab.training.train --out FOLDER``.

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
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, LlavaOnevisionForConditionalGeneration

from hermes_lab.training.checkpoint import TOKENS_PER_TEMPORAL_PATCH
from hermes_lab.training.family import Family
from hermes_lab.training.lessons import (
    IGNORED,
    NOTES,
    Classroom,
    Lesson,
    draw_worlds,
    lesson_attention,
    question_mask,
)
from hermes_lab.training.llava_onevision import LlavaOnevisionFamily
from hermes_lab.training.muon import Optimizers
from hermes_lab.training.qwen2_5_vl import Qwen25VLFamily
from hermes_lab.training.recipe import Recipe
from hermes_lab.training.vision import draw_pictures, encode_pictures, train_vision
from hermes_stream.models.loading.load import EMBEDDED

log = logging.getLogger(__name__)

Row = dict[str, float]

_ROW_STEPS = 50
FAMILIES: dict[str, tuple[Family, Callable[[int], Recipe]]] = {
    "llava_onevision": (LlavaOnevisionFamily(), lambda seed: Recipe(seed=seed)),
    "qwen2_5_vl": (Qwen25VLFamily(), Recipe.qwen2_5_vl),
}


class Decoder(nn.Module):
    """The decoder over a whole lesson, with heads for the notes on its middle layer."""

    def __init__(self, model: Any, prefix_ids: list[int], video_end: nn.Parameter | None) -> None:
        super().__init__()
        AttentionInterface.register("lesson", lesson_attention)
        model.set_attn_implementation({"text_config": "lesson"})
        self.text = model.model.language_model
        self.video_end = video_end
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
        if self.video_end is not None:
            end = self.video_end.expand(streams, questions, 1, -1)
            asked = torch.cat([end, asked[:, :, 1:]], dim=2)
        asked = asked.flatten(1, 2)
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


class Trainer:
    """Runs the decoder's curriculum, with checkpoints to resume from."""

    def __init__(self, family: Family, model: Any, recipe: Recipe) -> None:
        self.family, self.model, self.recipe = family, model, recipe
        self.chat = family.build_chat()
        torch.manual_seed(recipe.seed)
        self.decoder = Decoder(model, self.chat.prefix_ids, family.video_end(model))
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
            pictures = draw_pictures(self.family, worlds, stage.num_frames)
            features = encode_pictures(
                self.family, self.model, pictures, noise=self.recipe.picture_noise / 2, seed=seed
            ).half()
            classroom = Classroom(
                family=self.family,
                chat=self.chat,
                worlds=worlds,
                num_streams=stage.num_streams,
                num_frames=stage.num_frames,
                num_questions=self.recipe.num_questions,
                max_gap=stage.max_gap,
                kinds=stage.kinds,
            )
            notes = pictures.notes[:, pictures.shows[:, -1]]
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
                lesson,
                features[lesson.stories[:, None], lesson.glimpses].float(),
                notes[lesson.stories[:, None], lesson.glimpses].long(),
                right,
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
        shape = (prefix, video.shape[1], TOKENS_PER_TEMPORAL_PATCH, lesson.token_ids.shape[2])
        logits, noted = self.compiled(
            video,
            lesson.token_ids,
            self.family.positions(lesson, prefix),
            question_mask(lesson.asked_glimpses, shape),
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


def load_start(name: str | None) -> Any:
    """Load the shipped checkpoint that a run starts from."""
    if name is None:
        return None
    folder = str(files("hermes_stream").joinpath(EMBEDDED[name]))
    return LlavaOnevisionForConditionalGeneration.from_pretrained(folder).eval().requires_grad_(False)


def teach_vision(family: Family, model: Any, recipe: Recipe, start: Any) -> None:
    """Let the vision tower learn pictures; with a start, its tokens become those of the start's tower."""
    stage = recipe.vision
    worlds = draw_worlds(stage.num_worlds, stage.num_frames, stage.pace, recipe.bank_seed(0))
    theirs = LlavaOnevisionFamily()
    accuracy = train_vision(
        family,
        model,
        draw_pictures(family, worlds, stage.num_frames),
        num_steps=stage.num_steps,
        learning_rates=recipe.vision_learning_rates,
        noise=recipe.picture_noise,
        seed=recipe.seed,
        teacher=None if start is None else lambda pixels: theirs.visual_tokens(start, pixels),
    )
    log.info("vision accuracy %.4f", accuracy)


def train(
    folder: Path,
    recipe: Recipe,
    *,
    family: Family | None = None,
    on_row: Callable[[Row], None] = lambda _: None,
) -> None:
    """Train from the recipe, or go on in a folder that holds a started run, and write the checkpoint.

    Args:
        folder: for the run's state, its curve, and the finished ``checkpoint``.
        recipe: what to do; a started run goes on with the recipe given now.
        family: the architecture; None takes LLaVA-OneVision.
        on_row: is told every 50 steps how the run stands.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    family = family or LlavaOnevisionFamily()
    start = load_start(recipe.start_from)
    model = family.build_model(recipe.seed, start)
    vision = folder / "vision.pt"
    if vision.exists():
        model.load_state_dict(torch.load(vision, weights_only=True))
    else:
        teach_vision(family, model, recipe, start)
        torch.save(model.state_dict(), vision)
    trainer = Trainer(family, model, recipe)
    if (folder / "state.pt").exists():
        trainer.resume(folder)
    trainer.run(folder, on_row)
    family.save(model, folder / "checkpoint")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="llava_onevision", choices=list(FAMILIES))
    parser.add_argument("--out", type=Path, help="default: .training/FAMILY")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    family, recipe_for = FAMILIES[arguments.family]
    train(
        arguments.out or Path(".training") / arguments.family,
        recipe_for(arguments.seed),
        family=family,
        on_row=lambda row: log.info("%s", json.dumps(row)),
    )


if __name__ == "__main__":
    main()
