"""What a run of training does: the curriculum of each family."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_lab.training.muon import rise_and_fall
from hermes_stream.synthetic.questions import QUESTION_KINDS
from hermes_stream.synthetic.world import Pace

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
        num_frames: length of the stories in seconds; as many glimpses of them are seen.
        num_steps: batches to learn from.
        num_streams: stories in a batch.
        num_worlds: stories in the bank.
        max_gap: longest jump in position between two glimpses.
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
    """Everything that decides the outcome, next to the versions of the libraries.

    ``start_from`` names the shipped checkpoint that lends its decoder and words, and whose visual tokens the
    new tower learns to give; None starts from random weights.
    """

    seed: int = 0
    start_from: str | None = None
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

    @classmethod
    def qwen2_5_vl(cls, seed: int = 0) -> Recipe:
        """Return the second checkpoint's recipe: a new tower, the first checkpoint's decoder."""
        return cls(
            seed=seed,
            start_from="tiny",
            vision=Stage(num_frames=16, num_steps=1500, num_worlds=800, pace=_BUSY),
            learning_rates=(3e-3, 1e-3),
            stages=(
                Stage(num_frames=16, num_steps=300, num_worlds=1200, pace=_LIVELY),
                Stage(
                    num_frames=48,
                    num_steps=1200,
                    num_worlds=900,
                    max_gap=10,
                    num_streams=8,
                    pace=_RETURNING,
                    kinds=_HARD_KINDS,
                ),
            ),
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
