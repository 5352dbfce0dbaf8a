"""Builds training batches: stories of a training set, with new questions in every batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hermes_lab.training.batch import NO_QUESTION, Batch
from hermes_lab.training.family import Family
from hermes_lab.training.stories import IGNORED
from hermes_stream.models.chat import Chat
from hermes_stream.synthetic.moment import CLEAR_OF_BORDER, Question
from hermes_stream.synthetic.questions import KIND_GROUPS, QUESTION_KINDS, TIMED_KINDS, ask_at
from hermes_stream.synthetic.standing_questions import LONGEST_SINCE_SECONDS
from hermes_stream.synthetic.world import Appearance, World

_TOKENS_PER_QUESTION = 14
_SHARE_OF_LATE_QUESTIONS = 0.5
_SHARE_BEHIND_CHANGES = 0.5
_SHARE_WITH_LOSSES = 0.65
MOST_WHOLE_PATCHES = 8
SHARE_WITH_TWO_WHOLE = 0.6
_MOST_LEFT = 0.7
_LOST_OF_THINGS = (0.2, 0.9)
_SHARE_OF_THE_NEWEST = 0.5
_MOST_NEWEST_PATCHES = 12
_KINDS_ABOUT_NOW = (*KIND_GROUPS["now"], "is_there_now")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question, so far behind a temporal patch; None where no question of that kind was possible."""

    last_patch: int
    gap: int
    question: Question | None

    @property
    def kind(self) -> str:
        return self.question.kind if self.question else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBuilder:
    """Builds batches of one shape, so that the compiled decoder never recompiles.

    Attributes:
        family: how a story becomes temporal patches.
        chat: the checkpoint's own tokenizer and template.
        worlds: the stories of the training set.
        num_seconds: length of every story; a stream shows as many temporal patches.
        num_streams: stories in a batch.
        num_questions: questions on each story.
        max_gap: longest jump in position between two temporal patches.
        far_gap: longest of the one jump more that half of the streams make.
        kinds: question kinds that take turns, as often as they are named.
        max_lost_share: largest share of the walls in its older visual tokens that a stream loses; a third of
            the streams lose none.
        has_thing: which visual tokens of each story show a thing ``[stories, patches, tokens per patch]``: a
            stream loses less of them than of the walls, as a memory that keeps what matters does; None where
            nothing is lost.
        clear_of_border: how far from a border a place is asked about, as a share of the picture's side.
        asks_the_newest: ask half of the questions about now of the newest temporal patches alone.
        asks_behind_changes: ask half of the questions about now, and more by chance, right after something
            came or left: nothing is harder to tell from what shows.
        asks_late_about_time: ask about time at any distance behind the last frame too, as about all else.
        tokens_per_question: room for a question with its answer, on average; what finds none is left out.
    """

    family: Family
    chat: Chat
    worlds: tuple[World, ...]
    num_seconds: int
    num_streams: int = 32
    num_questions: int = 12
    max_gap: int = 0
    far_gap: int = 0
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)
    max_lost_share: float = 0.0
    has_thing: Tensor | None = None
    clear_of_border: float = CLEAR_OF_BORDER
    asks_the_newest: bool = False
    asks_behind_changes: bool = False
    asks_late_about_time: bool = False
    tokens_per_question: int = _TOKENS_PER_QUESTION

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw stories and new questions about them."""
        stories = rng.integers(len(self.worlds), size=self.num_streams)
        gaps = self.family.draw_gaps(
            rng, self.num_streams, self.num_seconds, self.max_gap, far_gap=self.far_gap
        )
        patches = self.family.draw_patches(rng, self.num_streams, self.num_seconds)
        asked = [
            list(self._draw_questions(self.worlds[story], row, rng, gaps=gap))
            for story, row, gap in zip(stories, patches, gaps, strict=True)
        ]
        rows, fitting = zip(*(self._row(own) for own in asked), strict=True)
        token_ids, targets, question_idx, offsets = torch.tensor(rows).unbind(1)
        has_thing = None if self.has_thing is None else self.has_thing[stories[:, None], patches]
        is_lost, num_whole = self._draw_losses(rng, gaps, has_thing)
        return Batch(
            stories=torch.from_numpy(stories),
            patches=patches,
            token_ids=token_ids,
            targets=targets,
            question_idx=question_idx,
            offsets=offsets,
            num_visible_patches=torch.tensor([[one.last_patch + 1 for one in own] for own in asked]),
            kinds=[
                one.kind if fits else ""
                for own, known in zip(asked, fitting, strict=True)
                for one, fits in zip(own, known, strict=True)
            ],
            gaps=gaps,
            question_gaps=torch.tensor([[one.gap for one in own] for own in asked]),
            num_hidden_patches=torch.tensor([[self._draw_hidden(one, rng) for one in own] for own in asked]),
            is_lost=is_lost,
            num_whole=num_whole,
        )

    def ask(
        self, world: World, seconds: float, rng: np.random.Generator
    ) -> tuple[list[list[int]], list[str]]:
        """Draw questions about a story at a moment, right behind the last frame.

        Returns:
            A row's tokens, targets, question indices and offsets; the kinds, "" where none found room.
        """
        kinds = [self.kinds[i] for i in rng.permutation(len(self.kinds))[: self.num_questions]]
        asked = [_Asked(last_patch=0, gap=0, question=self._ask(world, seconds, kind, rng)) for kind in kinds]
        row, fitting = self._row(asked)
        return row, [one.kind if fits else "" for one, fits in zip(asked, fitting, strict=True)]

    def _draw_questions(
        self, world: World, patches: Tensor, rng: np.random.Generator, *, gaps: Tensor
    ) -> Iterator[_Asked]:
        # Where positions jump within a frame they do not tell how much time has passed.
        is_timed = not gaps[:, 1:].any()
        kinds = [kind for kind in self.kinds if is_timed or kind not in TIMED_KINDS]
        order = [
            kinds[i] for _ in range(self.num_questions // len(kinds) + 1) for i in rng.permutation(len(kinds))
        ]
        seconds = self.family.list_patches(self.num_seconds)[patches, -1] / self.family.fps
        jumped = gaps[:, 0].cumsum(0) / self.family.positions_per_second
        changing = _list_changing_patches(world, seconds) if self.asks_behind_changes else np.array([], int)
        for kind in order[: self.num_questions]:
            question, gap = None, self._draw_question_gap(kind, rng)
            later = gap / self.family.positions_per_second
            for earliest in (0, self.num_seconds // 2):
                last = self.family.draw_question_patch(rng, patches, earliest)
                if kind in _KINDS_ABOUT_NOW:
                    last = _drawn_or(last, changing[changing >= earliest], rng)
                told = world
                if kind in TIMED_KINDS:
                    told = _by_the_clock(world, seconds, jumped, last, later=later)
                question = self._ask(told, float(seconds[last]), kind, rng)
                if question is not None:
                    break
            yield _Asked(last_patch=last, gap=gap, question=question)

    def _draw_question_gap(self, kind: str, rng: np.random.Generator) -> int:
        """Draw how far behind the last frame a question stands; small distances as often as large ones."""
        may_be_late = self.asks_late_about_time or kind not in TIMED_KINDS
        if not may_be_late or rng.random() >= _SHARE_OF_LATE_QUESTIONS:
            return 0
        return int(np.exp(rng.uniform(0, np.log(self.family.max_question_gap))))

    def _draw_losses(
        self, rng: np.random.Generator, gaps: Tensor, has_thing: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Draw which visual tokens each stream loses, and how many newest temporal patches stay whole."""
        num_whole = rng.integers(1, MOST_WHOLE_PATCHES + 1, size=self.num_streams)
        if not self.max_lost_share:
            return None, torch.from_numpy(num_whole)
        assert has_thing is not None
        loses = rng.random((self.num_streams, 1, 1)) < _SHARE_WITH_LOSSES
        # Evenly by the logarithm: of a long stream a memory holds little.
        left = np.exp(rng.uniform(np.log(1 - self.max_lost_share), np.log(_MOST_LEFT), size=loses.shape))
        of_things = (1 - left) * rng.uniform(*_LOST_OF_THINGS, size=loses.shape)
        share = np.where(has_thing.numpy(), of_things, 1 - left)
        num_whole = np.where(rng.random(self.num_streams) < SHARE_WITH_TWO_WHOLE, 2, num_whole)
        return torch.from_numpy(rng.random(gaps.shape) < share * loses), torch.from_numpy(num_whole)

    def _draw_hidden(self, asked: _Asked, rng: np.random.Generator) -> int:
        """Draw how many temporal patches a question does not see."""
        is_of_the_newest = self.asks_the_newest and asked.kind in _KINDS_ABOUT_NOW
        if not is_of_the_newest or rng.random() >= _SHARE_OF_THE_NEWEST:
            return 0
        # what moves which way is told from three patches on
        return max(0, asked.last_patch + 1 - int(rng.integers(3, _MOST_NEWEST_PATCHES + 1)))

    def _ask(self, world: World, seconds: float, kind: str, rng: np.random.Generator) -> Question | None:
        """Ask, as if the last answer had been given some whole seconds before; few as often as many."""
        elapsed = int(np.exp(rng.uniform(0, np.log(LONGEST_SINCE_SECONDS + 1))))
        since = seconds - elapsed if elapsed <= seconds else None
        near = self.clear_of_border
        return ask_at(world, seconds, kind, rng, since_seconds=since, clear_of_border=near)

    def _row(self, asked: list[_Asked]) -> tuple[list[list[int]], list[bool]]:
        """Return a row's tokens, targets, question indices and offsets, and which questions found room."""
        length = self.num_questions * self.tokens_per_question
        columns: list[tuple[int, int, int, int]] = []
        fitting = []
        for number, one in enumerate(asked):
            tokens, targets = self._block(one.question) if one.question else ([], [])
            fits = 0 < len(tokens) <= length - len(columns)
            fitting.append(fits)
            if fits:
                pairs = enumerate(zip(tokens, targets, strict=True))
                columns += [(token, target, number, offset) for offset, (token, target) in pairs]
        pad: int = self.chat.tokenizer.pad_token_id
        columns += [(pad, IGNORED, NO_QUESTION, 1 + k) for k in range(length - len(columns))]
        return [list(column) for column in zip(*columns, strict=True)], fitting

    def _block(self, question: Question) -> tuple[list[int], list[int]]:
        """Return the tokens of a question with its answer, and their targets."""
        asked = [*self.family.leading_ids(self.chat), *_question_ids(self.chat, question.text)]
        answer = _answer_ids(self.chat, question.answer)
        return [*asked, *answer], [IGNORED] * (len(asked) - 1) + answer + [IGNORED]


def _list_changing_patches(world: World, seconds: Tensor) -> NDArray[np.intp]:
    """List the temporal patches in whose last second something came or left.

    Args:
        world: what is shown.
        seconds: until when each temporal patch shows it.
    """
    changes = np.array([(a.enters_seconds, a.leaves_seconds) for a in world.appearances]).reshape(1, -1)
    before = seconds.numpy()[:, None] - changes
    return np.flatnonzero(((before >= 0) & (before <= 1)).any(axis=1))


def _drawn_or(other: int, possible: NDArray[np.intp], rng: np.random.Generator) -> int:
    """Draw one of what is possible in half of the cases, if there is any; else return the other."""
    if not len(possible) or rng.random() >= _SHARE_BEHIND_CHANGES:
        return other
    return int(possible[rng.integers(len(possible))])


def _by_the_clock(world: World, seconds: Tensor, jumped: Tensor, last: int, *, later: float) -> World:
    """Return a story as the clock tells it at the moment of asking: what came before a jump came earlier.

    Args:
        world: what is shown.
        seconds: until when each temporal patch shows it.
        jumped: by which each of them is moved by all jumps before it, in seconds.
        last: the temporal patch behind which is asked.
        later: so many seconds behind it.
    """

    def clocked(appearance: Appearance) -> Appearance:
        first = int(torch.searchsorted(seconds, appearance.enters_seconds).clamp(max=len(seconds) - 1))
        if first > last:
            return appearance
        earlier = float(jumped[last] - jumped[first]) + later
        return replace(appearance, enters_seconds=appearance.enters_seconds - earlier)

    return replace(world, appearances=tuple(map(clocked, world.appearances)))


@lru_cache(maxsize=50_000)
def _question_ids(chat: Chat, question: str) -> list[int]:
    return chat.question_ids(question)


@lru_cache(maxsize=10_000)
def _answer_ids(chat: Chat, answer: str) -> list[int]:
    return chat.encode(f"{answer}{chat.tokenizer.eos_token}")
