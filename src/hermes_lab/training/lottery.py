"""A memory that no method decides: a lot draws what stays of the past, things before walls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from hermes_lab.training.batch_builder import MOST_WHOLE_PATCHES, SHARE_WITH_TWO_WHOLE
from hermes_lab.training.stories import IGNORED, frame_labels
from hermes_stream.memory.random_keys import random_keys
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts, keeping_best
from hermes_stream.synthetic.world import World, cell_of

_THING_ODDS = (1, 30)
"""Least and most, where a wall's are 1; drawn evenly on a scale of logarithms, as what follows is."""
_ANCHOR_ODDS = (1, 60)
"""Of one moment of each stay, times those of a thing: most of what came leaves a token in some memories."""
_SHARE_THAT_FADES = 0.5
_HALVED_SECONDS = (20, 240)
"""By which age odds are half, where they fade: what lies between two moments is no clock, then."""
_SHARE_BY_LAYER = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lottery(MemoryPolicy):
    """Keep the newest temporal patches whole, and of what is older what a lot decides.

    What shows a thing has better odds than a wall, since a memory that is any good keeps what matters. It is
    told so by the story: this is for training, where it stands for any method.

    Attributes:
        budget_tokens: visual tokens each layer keeps.
        odds: of each visual token against a wall's 1 at the story's end ``[frames, tokens per patch]``.
        fps: of these frames.
        num_whole: newest temporal patches of which all tokens stay.
        by_layer: draw in each layer on its own.
        seed: of the draw.
    """

    facts: ClassVar[PolicyFacts] = PolicyFacts(summary="what a lot draws, things before walls", paper=None)

    budget_tokens: int
    odds: Tensor
    fps: int
    num_whole: int
    by_layer: bool
    seed: int

    @classmethod
    def drawn(cls, world: World, fps: int, budget_tokens: int, rng: np.random.Generator) -> Self:
        """Draw what a story's memory prefers, and how much of the present it keeps whole."""
        num_frames = int(world.duration_seconds * fps)
        has_thing = frame_labels(world, num_frames, fps=fps)[..., 0] != IGNORED
        of_things = _drawn_between(_THING_ODDS, rng)
        of_anchors = of_things * _drawn_between(_ANCHOR_ODDS, rng)
        odds = torch.where(has_thing, of_things, 1.0).double()
        for one in world.appearances:
            frame = int(rng.uniform(one.enters_seconds, one.leaves_seconds) * fps)
            if frame < num_frames:
                odds[frame, cell_of(world.centre_in_picture(one, frame / fps))] = of_anchors
        if rng.random() < _SHARE_THAT_FADES:
            ages = world.duration_seconds - torch.arange(num_frames) / fps
            odds *= torch.exp2(-ages / _drawn_between(_HALVED_SECONDS, rng))[:, None]
        has_two = rng.random() < SHARE_WITH_TWO_WHOLE
        return cls(
            budget_tokens=budget_tokens,
            odds=odds,
            fps=fps,
            num_whole=2 if has_two else int(rng.integers(1, MOST_WHOLE_PATCHES + 1)),
            by_layer=bool(rng.random() < _SHARE_BY_LAYER),
            seed=int(rng.integers(2**31)),
        )

    def plan(self, state: MemoryState) -> RetentionPlan:
        """Keep the newest, and the largest of numbers drawn by the odds, which a token has for good."""
        assert state.grid_indices is not None
        frames = (state.pts_seconds * self.fps).round().long().clamp(0, len(self.odds) - 1)
        odds = self.odds[frames, state.grid_indices.clamp_min(0)]
        drawn = random_keys(state.token_ids, self.seed, torch.float64, per_layer=self.by_layer)
        # A weighted sample without replacement: the largest u ** (1 / odds).
        scores = drawn.clamp_min(1e-300).log() / odds
        patches = state.temporal_patch_ids
        is_whole = patches > patches.amax(dim=1, keepdim=True) - self.num_whole
        return keeping_best(scores.masked_fill(is_whole, torch.inf), state, self.budget_tokens)


def _drawn_between(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
