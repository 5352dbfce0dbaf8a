"""Questions about what the memory itself leaves of long streams, beside those about whole stories.

A stream runs through a live memory with the weights of now, and what each layer holds at some moments is
kept. Questions read that as they would live. Their loss reaches the weights through their own tokens and, at
some of the moments, through the newest visual tokens, which then are written anew behind what is older.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from hermes_lab.training.batch import Questions
from hermes_lab.training.batch_builder import BatchBuilder
from hermes_lab.training.family import Family
from hermes_lab.training.lottery import Lottery
from hermes_stream import Frame, MemoryPolicy, Session, load_model
from hermes_stream.cache import StreamCache
from hermes_stream.synthetic.world import World

_FIRST_SECONDS = 20
_NUM_MOMENTS = 20
_SHARE_BEHIND_CHANGES = 0.4
_BEHIND_SECONDS = 1.2
_SHARE_OF_LONG_CHUNKS = 0.7
_LONG_CHUNK_FRAMES = 16
_STORIES_HELD = 4
_SHARE_WRITTEN_ANEW = 0.5
STEPS_PER_STORY = 2
"""Steps that are taken for each story that is watched: to watch one takes as long as to learn from it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """What a memory held behind a frame.

    Attributes:
        world: the story.
        seconds: time of the frame.
        position: where a question's first token stands.
        keys: of each layer, rotated, ``[layers, kv_heads, held, head_dim]``.
        values: likewise.
        newest: as the decoder reads them, the last of the visual tokens that are held ``[tokens, hidden]``.
        newest_positions: where they stand ``[axes, tokens]``.
    """

    world: World
    seconds: float
    position: int
    keys: Tensor
    values: Tensor
    newest: Tensor
    newest_positions: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBatch(Questions):
    """Questions about what memories held at some moments.

    Attributes:
        position_ids: of what is written anew and of the text, as the decoder's rotary layer takes them.
        keys: of what is held ``[layers, moments, kv_heads, held, head_dim]``.
        values: likewise.
        is_held: which of them are there ``[moments, held]``.
        newest: visual tokens that are written anew ``[moments, newest, hidden]``.
        is_newest: which of them are there ``[moments, newest]``.
    """

    position_ids: Tensor
    keys: Tensor
    values: Tensor
    is_held: Tensor
    newest: Tensor
    is_newest: Tensor

    def sees(self) -> Tensor:
        """Return what tokens see, bool ``[moments, 1, newest and text, held, newest and text]``."""
        is_own = self.question_idx[:, :, None] == self.question_idx[:, None]
        num_newest, num_text = self.is_newest.shape[1], is_own.shape[1]
        held = self.is_held[:, None].expand(-1, num_newest + num_text, -1)
        among = is_own.new_zeros(len(held), num_newest + num_text, num_newest + num_text)
        among[:, :, :num_newest] = self.is_newest[:, None]
        among[:, num_newest:, num_newest:] = is_own
        return torch.cat([held, among.tril()], dim=2)[:, None]


@final
class LongStreams:
    """Lets memories watch long stories, and asks about what they hold.

    Args:
        family: of the model.
        model: under training.
        builder: asks; its stories are those that are watched, in turn.
        num_moments: in a batch.

    Attributes:
        stories: moments of those that were watched last.
    """

    def __init__(self, family: Family, model: Any, builder: BatchBuilder, *, num_moments: int = 14) -> None:
        self._family, self._model, self._builder = family, model, builder
        self._num_moments = num_moments
        with TemporaryDirectory() as folder:
            family.save(model, Path(folder))
            self._live = load_model(folder, device="cpu")
        self.stories: list[list[Moment]] = []

    def draw(self, rng: np.random.Generator, step: int) -> HeldBatch:
        """Ask new questions about moments of the stories watched last; watch another every few steps."""
        if step % STEPS_PER_STORY == 0 or not self.stories:
            world = self._builder.worlds[step // STEPS_PER_STORY % len(self._builder.worlds)]
            has_long_chunks = rng.random() < _SHARE_OF_LONG_CHUNKS
            chunk_frames = _LONG_CHUNK_FRAMES if has_long_chunks else self._family.fps
            budget_tokens = self._live.card.default_budget_tokens
            policy = Lottery.drawn(world, self._family.fps, budget_tokens, rng)
            seconds = list(_draw_seconds(world, rng))
            story = list(self.watch(world, seconds, policy=policy, chunk_frames=chunk_frames))
            self.stories = [*self.stories, story][-_STORIES_HELD:]
        every = [moment for story in self.stories for moment in story]
        return self.ask([every[i] for i in rng.permutation(len(every))[: self._num_moments]], rng)

    @torch.no_grad()
    def watch(
        self, world: World, seconds: Sequence[float], *, policy: MemoryPolicy | str, chunk_frames: int
    ) -> Iterator[Moment]:
        """Yield what a memory holds of a story at some moments, with the weights of now."""
        self._copy_weights()
        session, due = Session(self._live, policy, chunk_frames=chunk_frames), sorted(seconds)
        folded: list[Frame] = []
        for frame in world.frames(self._family.fps):
            folded = [frame] if len(folded) == chunk_frames else [*folded, frame]
            session.observe(frame)
            if not due or due[0] > frame.pts_seconds:
                continue
            due = [one for one in due if one > frame.pts_seconds]
            session.flush()
            cache = session.cache
            layers = range(cache.layout.num_layers)
            newest = self._newest_tokens(cache, folded)
            yield Moment(
                world=world,
                seconds=frame.pts_seconds,
                position=cache.next_position,
                keys=torch.stack([cache.rotated_keys(layer) for layer in layers]),
                values=torch.stack([cache.values(layer) for layer in layers]),
                newest=newest,
                newest_positions=cache.positions(0)[:, cache.num_tokens[0] - len(newest) :].clone(),
            )
            folded = []

    def _newest_tokens(self, cache: StreamCache, frames: Sequence[Frame]) -> Tensor:
        """Encode those of the frames folded last of which every layer holds all tokens."""
        features = self._live.encode(self._live.prepare(frames))
        per_patch, num_patches = features.tokens_per_temporal_patch, features.grid[0]
        patch_ids = cache.state().temporal_patch_ids
        ids = patch_ids.amax() - torch.arange(num_patches)
        is_whole = ((patch_ids[:, None] == ids[:, None]).sum(-1) == per_patch).all(0)
        num_whole = int(is_whole.cumprod(0).sum())
        return features.tokens[(num_patches - num_whole) * per_patch :]

    def ask(
        self,
        moments: Sequence[Moment],
        rng: np.random.Generator,
        *,
        share_written: float = _SHARE_WRITTEN_ANEW,
    ) -> HeldBatch:
        """Draw new questions about moments.

        Args:
            moments: what was held.
            rng: draws.
            share_written: of the moments whose newest visual tokens are written anew.
        """
        rows, kinds = zip(*(self._builder.ask(one.world, one.seconds, rng) for one in moments), strict=True)
        token_ids, targets, question_idx, offsets = torch.tensor(rows).unbind(1)
        positions = torch.tensor([one.position for one in moments])[:, None] + offsets
        num_axes = self._live.layout.rotary.num_axes
        lengths = [one.keys.shape[2] for one in moments]
        is_written = rng.random(len(moments)) < share_written
        counts = [len(one.newest) if own else 0 for one, own in zip(moments, is_written, strict=True)]
        num_newest = torch.tensor(counts)

        def together(parts: Sequence[Tensor]) -> Tensor:
            """Lay out what moments hold side by side ``[layers, moments, kv_heads, held, head_dim]``."""
            missing = [max(lengths) - length for length in lengths]
            filled = [F.pad(part, (0, 0, 0, few)) for part, few in zip(parts, missing, strict=True)]
            return torch.stack(filled, dim=1)

        written = list(zip(moments, counts, strict=True))
        newest = pad_sequence([one.newest[:count] for one, count in written], batch_first=True)
        placed = pad_sequence([one.newest_positions[:, :count].T for one, count in written], batch_first=True)
        position_ids = torch.cat([placed.movedim(2, 0), positions.expand(num_axes, -1, -1)], dim=2)
        return HeldBatch(
            token_ids=token_ids,
            targets=targets,
            question_idx=question_idx,
            offsets=offsets,
            kinds=[kind for own in kinds for kind in own],
            position_ids=position_ids[0] if num_axes == 1 else position_ids,
            keys=together([one.keys for one in moments]),
            values=together([one.values for one in moments]),
            is_held=torch.arange(max(lengths)) < (torch.tensor(lengths) - num_newest)[:, None],
            newest=newest,
            is_newest=torch.arange(max(counts)) < num_newest[:, None],
        )

    def _copy_weights(self) -> None:
        own = dict(self._live.decoder.named_parameters())
        for name, learned in self._model.model.language_model.named_parameters():
            own[name].copy_(learned)
        if (closing := self._family.video_end(self._model)) is not None:
            self._live.video_end.copy_(closing.view_as(self._live.video_end))


def _draw_seconds(world: World, rng: np.random.Generator) -> Iterator[float]:
    changes = [
        seconds
        for one in world.appearances
        for seconds in (one.enters_seconds, one.leaves_seconds)
        if _FIRST_SECONDS < seconds < world.duration_seconds
    ]
    for _ in range(_NUM_MOMENTS):
        if changes and rng.random() < _SHARE_BEHIND_CHANGES:
            yield float(rng.choice(changes) + rng.uniform(0, _BEHIND_SECONDS))
        else:
            yield float(rng.uniform(_FIRST_SECONDS, world.duration_seconds))
