"""Builds training batches: stories of a training set, with new questions in every batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hermes_lab.training.batch import Batch
from hermes_lab.training.family import Family
from hermes_lab.training.stories import IGNORED
from hermes_stream.models.chat import Chat
from hermes_stream.synthetic.moment import Question
from hermes_stream.synthetic.questions import QUESTION_KINDS, ask_at
from hermes_stream.synthetic.world import World


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
        kinds: question kinds that take turns, as often as they are named.
        block_tokens: room for one question with its answer.
    """

    family: Family
    chat: Chat
    worlds: tuple[World, ...]
    num_seconds: int
    num_streams: int = 32
    num_questions: int = 12
    max_gap: int = 0
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)
    block_tokens: int = 19

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw stories and new questions about them."""
        stories = rng.integers(len(self.worlds), size=self.num_streams)
        gaps = self._draw_gaps(rng)
        patches = self.family.draw_patches(rng, self.num_streams, self.num_seconds)
        asked = [
            asked
            for story, row, gap in zip(stories, patches, gaps, strict=True)
            for asked in self._draw_questions(self.worlds[story], row, rng, is_evenly_timed=not gap.any())
        ]
        blocks, targets = zip(*(self._block(question) for _, question in asked), strict=True)
        shape = (self.num_streams, self.num_questions)
        return Batch(
            stories=torch.from_numpy(stories),
            patches=patches,
            token_ids=torch.tensor(blocks).view(*shape, -1),
            targets=torch.tensor(targets).view(*shape, -1),
            num_visible_patches=torch.tensor([last + 1 for last, _ in asked]).view(shape),
            kinds=[question.kind if question else "" for _, question in asked],
            gaps=gaps,
            question_gaps=self.family.draw_question_gaps(rng, *shape) * gaps.any(dim=1, keepdim=True),
        )

    def _draw_questions(
        self, world: World, patches: Tensor, rng: np.random.Generator, *, is_evenly_timed: bool
    ) -> Iterator[tuple[int, Question | None]]:
        """Yield after which temporal patch to ask, and what; None where no such question is possible."""
        # Where positions jump they do not tell how much time has passed.
        kinds = [kind for kind in self.kinds if is_evenly_timed or kind != "how_long_ago"]
        order = [
            kinds[i] for _ in range(self.num_questions // len(kinds) + 1) for i in rng.permutation(len(kinds))
        ]
        seconds = self.family.list_patches(self.num_seconds)[patches, -1] / self.family.fps
        for kind in order[: self.num_questions]:
            last = self.family.draw_question_patch(rng, patches, 0)
            question = ask_at(world, float(seconds[last]), kind, rng)
            if question is None:
                last = self.family.draw_question_patch(rng, patches, self.num_seconds // 2)
                question = ask_at(world, float(seconds[last]), kind, rng)
            yield last, question

    def _draw_gaps(self, rng: np.random.Generator) -> Tensor:
        """Let positions jump at a few temporal patches of some streams, as they do in a compressed memory."""
        shape = (self.num_streams, self.num_seconds)
        if not self.max_gap:
            return torch.zeros(shape, dtype=torch.long)
        jumps = rng.integers(0, self.max_gap, size=shape) * (
            rng.random(shape) < rng.random((shape[0], 1)) / 2
        )
        return torch.from_numpy(jumps * (rng.random((shape[0], 1)) < 0.5)).long()

    def _block(self, question: Question | None) -> tuple[list[int], list[int]]:
        """Return the padded tokens of a question with its answer, and their targets."""
        pad: int = self.chat.tokenizer.pad_token_id
        if question is None:
            return [pad] * self.block_tokens, [IGNORED] * self.block_tokens
        asked = [*self.family.leading_ids(self.chat), *_question_ids(self.chat, question.text)]
        answer = _answer_ids(self.chat, question.answer)
        tokens = [*asked, *answer]
        targets = [IGNORED] * (len(asked) - 1) + answer + [IGNORED]
        padding = self.block_tokens - len(tokens)
        return tokens + [pad] * padding, targets + [IGNORED] * padding


@lru_cache(maxsize=10_000)
def _question_ids(chat: Chat, question: str) -> list[int]:
    return chat.question_ids(question)


@lru_cache(maxsize=10_000)
def _answer_ids(chat: Chat, answer: str) -> list[int]:
    return chat.encode(f"{answer}{chat.tokenizer.eos_token}")
