"""Training of an embedded checkpoint: ``hermes train``.

First the vision tower learns single temporal patches, and to see the same in every scene. Then it is frozen,
the temporal patches of each stage's stories are encoded once, and the decoder learns stories with questions,
short ones first, all of which they see. At last the memory itself watches long ones, and questions read what
it holds. A run is reproducible from its seed and goes on where it stopped; what the memory held then is made
anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlavaOnevisionForConditionalGeneration

from hermes_lab.training.batch import Batch, Questions
from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.decoder import Decoder, auxiliary_loss
from hermes_lab.training.family import Family
from hermes_lab.training.llava_onevision import LlavaOnevisionFamily
from hermes_lab.training.long_streams import STEPS_PER_STORY, HeldBatch, LongStreams
from hermes_lab.training.optimizers import Optimizers
from hermes_lab.training.qwen2_5_vl import Qwen25VLFamily
from hermes_lab.training.recipe import Recipe, Stage
from hermes_lab.training.stories import IGNORED, LABELS, draw_worlds
from hermes_lab.training.vision import (
    encode_samples,
    hire_artists,
    render_samples,
    steady_vision,
    train_vision,
)
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.models.loading.placement import computes_bfloat16
from hermes_stream.synthetic.world import World

log = logging.getLogger(__name__)

Row = dict[str, float]

_ROW_STEPS = 50
_STORIES_AT_ONCE = 100
_OTHER_STORIES = 500_000
_LONG_QUESTIONS = 12
FAMILIES: dict[str, tuple[Family, Callable[[int], Recipe]]] = {
    "llava_onevision": (LlavaOnevisionFamily(), lambda seed: Recipe(seed=seed)),
    "qwen2_5_vl": (Qwen25VLFamily(), Recipe.qwen2_5_vl),
}


class Trainer:
    """Runs the decoder's curriculum, and saves what it needs to resume.

    Args:
        family: the model's.
        model: its vision tower is trained already; its decoder learns in place.
        recipe: what to do.
        artists: processes that render the stories; None renders them here.
        began: when the run, or this part of it, began, by the monotonic clock; None for now.

    Attributes:
        step: steps so far, over all stages.
        seconds: what the parts of the run before this one took, up to their last row of the curve.
    """

    def __init__(
        self,
        family: Family,
        model: Any,
        recipe: Recipe,
        *,
        artists: Executor | None = None,
        began: float | None = None,
    ) -> None:
        self.family, self.model, self.recipe, self._artists = family, model, recipe, artists
        self.chat = family.build_chat()
        torch.manual_seed(recipe.seed)
        self.decoder = Decoder(model, self.chat.prefix_ids, family.video_end(model))
        self.decoder.compile_layers()
        self.optimizers = Optimizers(
            [self.decoder],
            muon_lr=recipe.learning_rates[0],
            adamw_lr=recipe.learning_rates[1],
            weight_decay=recipe.weight_decay,
        )
        self.step, self.seconds = 0, 0.0
        self._began = time.monotonic() if began is None else began
        # Matrix products are four times as fast where a processor has units for it, and slower where not.
        self._in_bfloat16 = bool(computes_bfloat16())

    def run(self, folder: Path, on_progress: Callable[[Row], None]) -> None:
        """Go through the stages from the current step; save after every row of the curve."""
        end = 0
        for number, stage in enumerate(self.recipe.stages, start=1):
            end += stage.num_steps
            if self.step >= end:
                continue
            builder, features, labels = self._training_set(stage, self.recipe.stories_seed(number))
            long = self._long_streams(stage, self.recipe.stories_seed(number))
            while self.step < end:
                row = self._steps(builder, features, labels, min(_ROW_STEPS, end - self.step), long=long)
                with (folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                self.save(folder)
                on_progress(row)

    def _training_set(self, stage: Stage, seed: int) -> tuple[BatchBuilder, Tensor, Tensor]:
        """Render and encode a stage's stories; return visual tokens and labels of all temporal patches."""
        worlds = worlds_of(stage, seed)
        features, labels = [], []
        # A portion at a time: the pixels of all stories would take gigabytes.
        for first in range(0, len(worlds), _STORIES_AT_ONCE):
            portion = worlds[first : first + _STORIES_AT_ONCE]
            samples = render_samples(self.family, portion, stage.num_seconds, artists=self._artists)
            noise = self.recipe.pixel_noise / 2
            encoded = encode_samples(self.family, self.model, samples, noise=noise, seed=seed + first)
            features.append(encoded.half())
            labels.append(samples.patch_labels)
        every_label = torch.cat(labels)
        builder = BatchBuilder(
            family=self.family,
            chat=self.chat,
            worlds=worlds,
            num_streams=stage.num_streams,
            num_seconds=stage.num_seconds,
            num_questions=self.recipe.num_questions,
            max_gap=stage.max_gap,
            far_gap=stage.far_gap,
            kinds=stage.kinds,
            max_lost_share=stage.max_lost_share,
            has_thing=every_label[..., 0] != IGNORED if stage.max_lost_share else None,
            clear_of_border=stage.clear_of_border,
            asks_the_newest=stage.asks_the_newest,
            asks_behind_changes=stage.asks_behind_changes,
            asks_late_about_time=stage.asks_late_about_time,
        )
        return builder, torch.cat(features), every_label

    def _long_streams(self, stage: Stage, seed: int) -> LongStreams | None:
        """Return the memory at work on long stories, where a stage has them."""
        if not stage.long_seconds:
            return None
        long = replace(
            stage, num_seconds=stage.long_seconds, num_worlds=-(-stage.num_steps // STEPS_PER_STORY)
        )
        builder = BatchBuilder(
            family=self.family,
            chat=self.chat,
            worlds=worlds_of(long, seed + _OTHER_STORIES),
            num_seconds=stage.long_seconds,
            num_questions=_LONG_QUESTIONS,
            kinds=stage.kinds,
            clear_of_border=stage.clear_of_border,
        )
        return LongStreams(self.family, self.model, builder)

    def _steps(
        self, builder: BatchBuilder, features: Tensor, labels: Tensor, count: int, *, long: LongStreams | None
    ) -> Row:
        """Learn from batches, and return a row of the curve: accuracies by kind of question and of label."""
        began, began_processor, losses, label_accuracies = time.monotonic(), time.process_time(), [], []
        is_right: dict[str, list[bool]] = {}
        for _ in range(count):
            rng = np.random.default_rng((self.recipe.seed, self.step))
            batch, held = builder.draw(rng), long and long.draw(rng, self.step)
            shown = (batch.stories[:, None], batch.patches)
            video, own_labels = features[shown].float(), labels[shown].long()
            loss, own = self._learn(batch, video, own_labels, held=held, is_right=is_right)
            losses.append(loss)
            label_accuracies.append(own)
            self.step += 1
        by_label = [
            round(float(np.mean([one for one in column if not math.isnan(one)] or [0])), 3)
            for column in zip(*label_accuracies, strict=True)
        ]
        return {
            "step": self.step,
            "num_seconds": builder.num_seconds,
            "loss": round(float(np.mean(losses)), 4),
            "seconds_per_step": round((time.monotonic() - began) / count, 3),
            "run_seconds": round(self._run_seconds),
            "processor_seconds_per_step": round((time.process_time() - began_processor) / count, 3),
            **{kind: round(float(np.mean(own)), 3) for kind, own in sorted(is_right.items())},
            **{f"label_{name}": accuracy for name, accuracy in zip(LABELS, by_label, strict=True)},
        }

    def _learn(
        self,
        batch: Batch,
        video: Tensor,
        labels: Tensor,
        *,
        held: HeldBatch | None,
        is_right: dict[str, list[bool]],
    ) -> tuple[float, list[float]]:
        """Take one step; add to ``is_right``, and return the loss and the accuracy of each kind of label."""
        position_ids = self.family.position_ids(batch, len(self.chat.prefix_ids))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._in_bfloat16):
            logits, auxiliary_logits = self.decoder(video, batch, position_ids)
            loss = _answer_loss(logits, batch)
            auxiliary, accuracies = auxiliary_loss(auxiliary_logits, labels.flatten(1, 2))
            total = loss + self.recipe.auxiliary_weight * auxiliary
            if held is not None:
                read = self.decoder.read(held)
                total = total + _answer_loss(read, held)
                _note(is_right, held, read, "held_")
        self.optimizers.step(total, scale=self.recipe.learning_rate_scale(self.step))
        _note(is_right, batch, logits)
        return float(loss.detach()), accuracies

    def save(self, folder: Path) -> None:
        """Write the state to resume from."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "auxiliary_head": self.decoder.auxiliary_head.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "step": self.step,
            "seconds": self._run_seconds,
        }
        write_whole(state, folder / "state.pt")

    @property
    def _run_seconds(self) -> float:
        return self.seconds + time.monotonic() - self._began

    def resume(self, folder: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(folder / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.decoder.auxiliary_head.load_state_dict(state["auxiliary_head"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.step, self.seconds = state["step"], state["seconds"]


def _answer_loss(logits: Tensor, questions: Questions) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), questions.targets.flatten(), ignore_index=IGNORED)


def _note(is_right: dict[str, list[bool]], questions: Questions, logits: Tensor, prefix: str = "") -> None:
    """Add to each kind whether its questions were answered right."""
    hits = questions.right_answers(logits.argmax(-1))
    for kind, hit in zip(questions.kinds, hits.flatten().tolist(), strict=True):
        if kind:
            is_right.setdefault(prefix + kind, []).append(hit)


def write_whole(state: Any, path: Path) -> None:
    """Write a file so that it is there whole or not at all."""
    new = path.with_suffix(".new")
    torch.save(state, new)
    new.replace(path)


def worlds_of(stage: Stage, seed: int) -> tuple[World, ...]:
    """Generate a stage's stories; half of the casts lack a shape, so that a question may be about none."""
    return draw_worlds(
        stage.num_worlds, stage.num_seconds, stage.pace, seed, scenes=stage.scenes, has_few_shapes=True
    )


def load_start(name: str | None) -> Any:
    """Load the checkpoint that a run starts from, frozen; None for None.

    Args:
        name: of a shipped checkpoint, or a folder.

    Raises:
        ValueError: it is neither.
    """
    if name is None:
        return None
    folder = Path(name)
    if not (folder / "config.json").is_file():
        try:
            folder = embedded_folder(name)
        except KeyError:
            raise ValueError(
                f"start_from must be a shipped checkpoint or the folder of one, got {name!r}"
            ) from None
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(str(folder))
    return model.eval().requires_grad_(False)


def pretrain_vision(
    family: Family, model: Any, recipe: Recipe, start: Any, *, artists: Executor | None = None
) -> None:
    """Train the vision tower; its tokens become those of the tower of ``start``, if there is one.

    At last it learns to see the same in every scene.
    """
    stage, teacher = recipe.vision, LlavaOnevisionFamily()
    worlds = worlds_of(stage, recipe.stories_seed(0))
    accuracy = train_vision(
        family,
        model,
        render_samples(family, worlds, stage.num_seconds, artists=artists),
        num_steps=stage.num_steps,
        learning_rates=recipe.vision_learning_rates,
        noise=recipe.pixel_noise,
        seed=recipe.seed,
        teacher=None if start is None else lambda pixels: teacher.visual_tokens(start, pixels),
    )
    log.info("vision accuracy %.4f", accuracy)
    if recipe.steady.num_steps:
        steady_vision(
            family,
            model,
            worlds_of(recipe.steady, recipe.stories_seed(0) + _OTHER_STORIES),
            recipe.steady.num_seconds,
            num_steps=recipe.steady.num_steps,
            learning_rates=recipe.steady_learning_rates,
            noise=recipe.pixel_noise,
            seed=recipe.seed,
            artists=artists,
        )


def train(
    folder: Path,
    recipe: Recipe,
    *,
    family: Family | None = None,
    on_progress: Callable[[Row], None] = lambda _: None,
) -> None:
    """Train from the recipe, or go on in a folder that holds a started run, and write the checkpoint.

    Args:
        folder: for the run's state, its curve, and the finished ``checkpoint``.
        recipe: what to do; a started run goes on with the recipe given now.
        family: the architecture; None takes LLaVA-OneVision.
        on_progress: called with a row of the curve every 50 steps.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    family = family or LlavaOnevisionFamily()
    start = load_start(recipe.start_from)
    model = family.build_model(recipe.seed, start)
    vision = folder / "vision.pt"
    with hire_artists() as artists:
        if vision.exists():
            model.load_state_dict(torch.load(vision, weights_only=True))
        else:
            pretrain_vision(family, model, recipe, start, artists=artists)
            write_whole(model.state_dict(), vision)
        trainer = Trainer(family, model, recipe, artists=artists, began=began)
        if (folder / "state.pt").exists():
            trainer.resume(folder)
        trainer.run(folder, on_progress)
    family.save(model, folder / "checkpoint")


def main() -> None:
    """Train without the command line of ``hermes``; the folder's curve tells how the run stands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="llava_onevision", choices=list(FAMILIES))
    parser.add_argument("--out", type=Path, help="default: .training/FAMILY")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    family, recipe_for = FAMILIES[given.family]
    train(given.out or Path(".training") / given.family, recipe_for(given.seed), family=family)


if __name__ == "__main__":
    main()
