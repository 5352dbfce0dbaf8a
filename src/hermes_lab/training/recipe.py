"""What a run of training does: the curriculum of each family."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hermes_lab.training.optimizers import warmup_stable_decay
from hermes_stream.synthetic.moment import CLEAR_OF_BORDER
from hermes_stream.synthetic.questions import ALL_KINDS
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import Pace

_MIN_SCALE = 0.01
_KINDS = tuple(ALL_KINDS)
_HARD_KINDS = (*_KINDS, "counting", "counting", "now_where", "after", "came_since")
_HARDEST_KINDS = (*_HARD_KINDS, "before", "before", "now_what", "now_what", "how_long_ago", "colour")
_STANDING_KINDS = (*_HARDEST_KINDS, "is_there_now", "is_there_now", "now_where", "came_since")
_PRESENT_KINDS = ("is_there_now", "is_there_now", "now_what", "now_what", "now_where", "now_moving")
# A plain wall stays the most frequent scene.
_SCENES = ("still", *SCENES)
# Clutter hides outlines, and is seen worst.
_CLUTTERED = (*SCENES, "clutter", "clutter", "clutter")
_CALM = Pace()
_BUSY = Pace(stay_seconds=(2, 5), entry_seconds=(1, 2), quiet_seconds=(1, 2), quiet_share=0.15)
_RETURNING = Pace(cast_things=(6, 16))
_LIVELY = Pace(stay_seconds=(3, 6), entry_seconds=(1, 3), quiet_seconds=(1, 3), quiet_share=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of the curriculum.

    Attributes:
        num_seconds: length of the stories; a stream shows as many temporal patches.
        num_steps: batches to learn from.
        num_streams: stories in a batch.
        num_worlds: stories in the training set.
        max_gap: longest jump in position between two temporal patches.
        far_gap: longest of the one jump more that half of the streams make.
        pace: how eventful the stories are.
        kinds: question kinds that take turns, as often as they are named.
        scenes: one of these is drawn for each story, as often as it is named.
        max_lost_share: largest share of the walls in its older visual tokens that a stream loses, and less of
            the things before them; a third of the streams lose none.
        clear_of_border: how far from a border a place is asked about, as a share of the picture's side.
        asks_the_newest: ask half of the questions about now of the newest temporal patches alone.
        asks_behind_changes: ask half of them, and more by chance, right after something came or left.
        asks_late_about_time: ask about time at any distance behind the last frame too, as about all else.
        long_seconds: length of stories that the memory itself watches, and about which as much is asked as
            about the others; 0 for none.
    """

    num_seconds: int
    num_steps: int
    num_streams: int = 16
    num_worlds: int = 1500
    max_gap: int = 0
    far_gap: int = 0
    pace: Pace = _CALM
    kinds: tuple[str, ...] = _KINDS
    scenes: tuple[str, ...] = _SCENES
    max_lost_share: float = 0.0
    clear_of_border: float = CLEAR_OF_BORDER
    asks_the_newest: bool = False
    asks_behind_changes: bool = False
    asks_late_about_time: bool = False
    long_seconds: int = 0


_STEADY = Stage(num_seconds=16, num_steps=600, num_worlds=400, pace=_BUSY, scenes=_CLUTTERED)

# What a long stream leaves of itself, in stories of the length of training.
_LOSSES = Stage(
    num_seconds=48,
    num_steps=1100,
    num_streams=8,
    num_worlds=700,
    max_gap=80,
    far_gap=1200,
    pace=_RETURNING,
    kinds=(*_STANDING_KINDS, *_PRESENT_KINDS, "how_long_ago"),
    max_lost_share=0.97,
    clear_of_border=0.0,
    asks_the_newest=True,
    asks_behind_changes=True,
    asks_late_about_time=True,
)

# What the memory itself leaves, in stories ten times as long.
_LONG = replace(_LOSSES, num_steps=400, num_streams=4, num_worlds=200, long_seconds=480)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome, next to the versions of the libraries.

    Attributes:
        seed: of weights, stories and batches.
        start_from: name of a shipped checkpoint, or a folder, whose decoder and word embeddings are copied,
            and whose visual tokens the new tower learns to give; None starts from random weights.
        vision: the stage that trains the vision tower.
        vision_learning_rates: peaks of Muon and of AdamW in that stage.
        steady: the stage in which the tower learns to see in every scene what it sees before a plain wall.
        steady_learning_rates: where those of Muon and of AdamW begin in that stage.
        learning_rates: the same for the decoder.
        num_questions: on each story of a batch.
        auxiliary_weight: of the loss of the auxiliary heads.
        warmup_steps: of the decoder's learning rates.
        decay_share: of all the decoder's steps, in which the learning rates decay.
        weight_decay: of the decoder.
        pixel_noise: standard deviation added to pixel values, which are between -1 and 1.
        stages: of the decoder's curriculum.
    """

    seed: int = 0
    start_from: str | None = None
    vision: Stage = Stage(num_seconds=16, num_steps=2000, num_worlds=1500, pace=_BUSY)
    vision_learning_rates: tuple[float, float] = (6e-3, 2e-3)
    steady: Stage = _STEADY
    steady_learning_rates: tuple[float, float] = (1.5e-3, 5e-4)
    learning_rates: tuple[float, float] = (5e-3, 2e-3)
    num_questions: int = 16
    auxiliary_weight: float = 0.5
    warmup_steps: int = 100
    decay_share: float = 0.25
    weight_decay: float = 0.02
    pixel_noise: float = 0.03
    stages: tuple[Stage, ...] = (
        Stage(num_seconds=8, num_steps=900, num_worlds=3000, pace=_BUSY),
        Stage(num_seconds=16, num_steps=500, pace=_LIVELY),
        Stage(num_seconds=24, num_steps=400, max_gap=80, pace=_RETURNING),
        Stage(
            num_seconds=48,
            num_steps=1600,
            num_streams=8,
            num_worlds=2400,
            max_gap=40,
            pace=_RETURNING,
            kinds=_HARDEST_KINDS,
        ),
        replace(_LOSSES, num_steps=600),
        _LONG,
    )

    @classmethod
    def qwen2_5_vl(cls, seed: int = 0) -> Recipe:
        """Return the second checkpoint's recipe: a new tower, the first checkpoint's decoder."""
        return cls(
            seed=seed,
            start_from="tiny",
            vision=Stage(num_seconds=16, num_steps=2000, num_worlds=800, pace=_BUSY),
            steady=replace(_STEADY, num_worlds=240),
            learning_rates=(3e-3, 1e-3),
            stages=(
                Stage(num_seconds=16, num_steps=400, num_worlds=1200, pace=_LIVELY),
                Stage(
                    num_seconds=48,
                    num_steps=1300,
                    num_worlds=900,
                    max_gap=10,
                    num_streams=8,
                    pace=_RETURNING,
                    kinds=_HARD_KINDS,
                ),
                replace(_LOSSES, num_steps=900, max_gap=60, far_gap=1600),
                replace(_LONG, max_gap=60, far_gap=1600),
            ),
        )

    @property
    def num_steps(self) -> int:
        """Steps of the decoder's curriculum."""
        return sum(stage.num_steps for stage in self.stages)

    def learning_rate_scale(self, step: int) -> float:
        """Return the scale of the decoder's peak learning rates at a step."""
        scale = warmup_stable_decay(
            step, self.num_steps, warmup_steps=self.warmup_steps, decay_share=self.decay_share
        )
        return max(scale, _MIN_SCALE)

    def stories_seed(self, number: int) -> int:
        """Return the first seed of a stage's stories, far from those used in evaluation."""
        return (1_000 + self.seed) * 1_000_000_000 + number * 1_000_000
