"""What the embedded model learns from: batches of stories with many questions each.

The pictures of a stage's stories are drawn and encoded once; every batch takes stories from that bank and
asks new questions about them. Beside the questions, notes on every frame say what a good observer would write
down: throw-away heads learn them, so that a layer in the middle knows what those above can answer from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from hermes_lab.training.family import Family
from hermes_stream.models.chat import Chat
from hermes_stream.synthetic.questions import NUMBERS, QUESTION_KINDS, SECONDS_TO_SEE_MOTION, Question, ask_at
from hermes_stream.synthetic.world import (
    COLOURS,
    GRID,
    MOTIONS,
    SHAPES,
    Appearance,
    Pace,
    Thing,
    World,
    generate_world,
)
from hermes_stream.video import FileSource, write_video

IGNORED = -100
NOTES: dict[str, int] = {
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "motion": len(MOTIONS),
    "colour_before": len(COLOURS) + 1,
    "shape_before": len(SHAPES) + 1,
    "count_of_shape": len(NUMBERS),
    "just_came": 2,
}
"""What is noted of the thing whose centre is in a visual token's place, and how many values it may take."""


def draw_story(
    world: World, num_frames: int, *, through_codec: bool, fps: int = 1
) -> list[NDArray[np.uint8]]:
    """Draw pictures at a steady rate; ``through_codec`` writes and reads them as H.264 first."""
    pictures = [world.picture(frame / fps) for frame in range(num_frames)]
    if not through_codec:
        return pictures
    with TemporaryDirectory() as folder:
        path = Path(folder) / "story.mp4"
        write_video(path, pictures, fps=fps, crf=20)
        return [frame.image for frame in FileSource(path)]


def take_notes(world: World, num_frames: int, *, fps: int = 1) -> Tensor:
    """Note what is where in every frame: int8 ``[frames, places, notes]``, ``IGNORED`` where nothing is."""
    notes = torch.full((num_frames, GRID * GRID, len(NOTES)), IGNORED, dtype=torch.int8)
    counts: Counter[str] = Counter()
    before: Thing | None = None
    for appearance in world.appearances:
        counts[appearance.thing.shape] += 1
        leaves = min(int(appearance.leaves_seconds) * fps, num_frames)
        for frame in range(int(appearance.enters_seconds) * fps, leaves):
            note = _note(appearance, frame / fps, before, counts[appearance.thing.shape])
            notes[frame, appearance.cell_at(frame / fps)] = torch.tensor(note, dtype=torch.int8)
        before = appearance.thing
    return notes


def _note(appearance: Appearance, seconds: float, before: Thing | None, count_of_shape: int) -> list[int]:
    """Return the values of ``NOTES``, in their order."""
    age = seconds - appearance.enters_seconds
    return [
        list(COLOURS).index(appearance.thing.colour),
        SHAPES.index(appearance.thing.shape),
        list(MOTIONS).index(appearance.motion) if age >= SECONDS_TO_SEE_MOTION else IGNORED,
        list(COLOURS).index(before.colour) if before else len(COLOURS),
        SHAPES.index(before.shape) if before else len(SHAPES),
        count_of_shape if count_of_shape < len(NUMBERS) else IGNORED,
        int(age < 1),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One batch: ``[streams]`` stories, each followed by question blocks that do not see each other.

    Attributes:
        stories: which of the bank's stories ``[streams]``.
        glimpses: which of a story's glimpses follow each other ``[streams, glimpses]``.
        token_ids: question and answer tokens ``[streams, questions, block]``, from what closes the video.
        targets: next-token targets ``[streams, questions, block]``, ``IGNORED`` where none.
        asked_glimpses: how many glimpses each question sees ``[streams, questions]``, at least one.
        kinds: the questions' kinds, flat ``[streams * questions]``, "" where none could be asked.
        gaps: position jumps before each glimpse ``[streams, glimpses]``.
        clock_jumps: position jumps before each question ``[streams, questions]``.
    """

    stories: Tensor
    glimpses: Tensor
    token_ids: Tensor
    targets: Tensor
    asked_glimpses: Tensor
    kinds: list[str]
    gaps: Tensor
    clock_jumps: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """Makes lessons of a fixed shape, so that the compiled decoder never recompiles.

    Attributes:
        family: how a story is looked at.
        chat: the checkpoint's own tokenizer and template.
        worlds: the stories of the bank.
        num_frames: length of every story, in seconds; as many glimpses are seen.
        num_streams: stories in a batch.
        num_questions: questions on each story.
        max_gap: longest jump in position between two glimpses.
        kinds: question kinds that take turns, as often as they are named.
        block_tokens: room for one question with its answer.
    """

    family: Family
    chat: Chat
    worlds: tuple[World, ...]
    num_frames: int
    num_streams: int = 32
    num_questions: int = 12
    max_gap: int = 0
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)
    block_tokens: int = 19

    def lesson(self, rng: np.random.Generator) -> Lesson:
        """Draw one batch of stories and new questions."""
        stories = rng.integers(len(self.worlds), size=self.num_streams)
        gaps = self._gaps(rng)
        watched = self.family.watch(rng, self.num_streams, self.num_frames)
        asked = [
            asked
            for story, row, gap in zip(stories, watched, gaps, strict=True)
            for asked in self._questions(self.worlds[story], row, rng, is_evenly_timed=not gap.any())
        ]
        blocks, targets = zip(*(self._block(question) for _, question in asked), strict=True)
        shape = (self.num_streams, self.num_questions)
        return Lesson(
            stories=torch.from_numpy(stories),
            glimpses=watched,
            token_ids=torch.tensor(blocks).view(*shape, -1),
            targets=torch.tensor(targets).view(*shape, -1),
            asked_glimpses=torch.tensor([glimpse + 1 for glimpse, _ in asked]).view(shape),
            kinds=[question.kind if question else "" for _, question in asked],
            gaps=gaps,
            clock_jumps=self.family.clock_jumps(rng, *shape) * gaps.any(dim=1, keepdim=True),
        )

    def _questions(
        self, world: World, watched: Tensor, rng: np.random.Generator, *, is_evenly_timed: bool
    ) -> Iterator[tuple[int, Question | None]]:
        """Ask kinds in turn at random moments; where positions jump, nothing is asked about time."""
        kinds = [kind for kind in self.kinds if is_evenly_timed or kind != "how_long_ago"]
        order = [
            kinds[i] for _ in range(self.num_questions // len(kinds) + 1) for i in rng.permutation(len(kinds))
        ]
        seconds = self.family.glimpses(self.num_frames)[watched, -1] / self.family.pictures_per_second
        for kind in order[: self.num_questions]:
            last = self.family.pick_moment(rng, watched, 0)
            question = ask_at(world, float(seconds[last]), kind, rng)
            if question is None:
                last = self.family.pick_moment(rng, watched, self.num_frames // 2)
                question = ask_at(world, float(seconds[last]), kind, rng)
            yield last, question

    def _gaps(self, rng: np.random.Generator) -> Tensor:
        """Jump in position at a few glimpses of some streams, so that gaps are nothing new to the model."""
        shape = (self.num_streams, self.num_frames)
        if not self.max_gap:
            return torch.zeros(shape, dtype=torch.long)
        jumps = rng.integers(0, self.max_gap, size=shape) * (
            rng.random(shape) < rng.random((shape[0], 1)) / 2
        )
        return torch.from_numpy(jumps * (rng.random((shape[0], 1)) < 0.5)).long()

    def _block(self, question: Question | None) -> tuple[list[int], list[int]]:
        pad: int = self.chat.tokenizer.pad_token_id
        if question is None:
            return [pad] * self.block_tokens, [IGNORED] * self.block_tokens
        asked = [*self.family.opening_ids(self.chat), *_asked(self.chat, question.text)]
        answer = _answered(self.chat, question.answer)
        tokens = [*asked, *answer]
        target = [IGNORED] * (len(asked) - 1) + answer + [IGNORED]
        padding = self.block_tokens - len(tokens)
        return tokens + [pad] * padding, target + [IGNORED] * padding


@lru_cache(maxsize=10_000)
def _asked(chat: Chat, question: str) -> list[int]:
    return chat.question_ids(question)


@lru_cache(maxsize=10_000)
def _answered(chat: Chat, answer: str) -> list[int]:
    return chat.encode(f"{answer}{chat.tokenizer.eos_token}")


def draw_worlds(num_worlds: int, num_frames: int, pace: Pace, seed: int) -> tuple[World, ...]:
    """Generate a bank's stories.

    Args:
        num_worlds: how many.
        num_frames: length of each, in seconds.
        pace: how eventful they are.
        seed: the first world's seed; the others follow it.
    """
    return tuple(generate_world(seed + k, num_frames, pace=pace) for k in range(num_worlds))


def question_mask(asked_glimpses: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Return what question tokens see, bool ``[streams, 1, question tokens, all tokens]``.

    Args:
        asked_glimpses: how many glimpses each question sees ``[streams, questions]``.
        shape: prefix tokens, glimpses, tokens per glimpse, tokens per question block.
    """
    prefix, glimpses, per_glimpse, block = shape
    streams, questions = asked_glimpses.shape
    video = prefix + glimpses * per_glimpse
    visible = torch.arange(video) < (prefix + asked_glimpses * per_glimpse)[..., None]
    own = torch.ones(block, block, dtype=torch.bool).tril()
    asked = torch.block_diag(*[own] * questions).bool().expand(streams, -1, -1)
    return torch.cat([visible.repeat_interleave(block, dim=1), asked], dim=2)[:, None]


def lesson_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_: Any
) -> tuple[Tensor, None]:
    """Attend as transformers' attentions do; the video is causal, the questions have a mask of their own."""
    groups: int = module.num_key_value_groups  # type: ignore[assignment]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    video = query.shape[2] - attention_mask.shape[2]
    seen = F.scaled_dot_product_attention(
        query[:, :, :video], key[:, :, :video], value[:, :, :video], is_causal=True
    )
    asked = F.scaled_dot_product_attention(query[:, :, video:], key, value, attn_mask=attention_mask)
    return torch.cat([seen, asked], dim=2).transpose(1, 2), None
