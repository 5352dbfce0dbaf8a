"""What the embedded model learns from: batches of stories with many questions each.

Pictures are independent, so a bank of short clips is drawn once; a story then takes, for every second, the
picture of a clip that shows what the story says. Stories never run out, pictures are encoded once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from hermes_stream.tiny.questions import QUESTION_KINDS, Question, ask_at
from hermes_stream.tiny.world import THINGS, Thing, World, generate_world

IGNORED = -100
_BANK_SECONDS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Pictures by what they show: ``clips[thing]`` lists runs of consecutive picture indices."""

    pictures: Tensor
    labels: Tensor
    clips: dict[Thing, list[list[int]]]
    empty: list[int]


def draw_bank(num_worlds: int, seed: int) -> Bank:
    """Draw the worlds' pictures once, one a second.

    Args:
        num_worlds: how many worlds, of 24 seconds each, to draw.
        seed: the first world's seed; the others follow it.
    """
    pictures: list[Tensor] = []
    labels: list[int] = []
    clips: dict[Thing, list[list[int]]] = {thing: [] for thing in THINGS}
    empty: list[int] = []
    for k in range(num_worlds):
        world = generate_world(seed + k, _BANK_SECONDS)
        run: list[int] = []
        shown = None
        for second in range(_BANK_SECONDS):
            appearance = world.on_screen(second)
            if appearance is not shown:
                run = []
                if appearance is not None:
                    clips[appearance.thing].append(run)
            shown = appearance
            (empty if appearance is None else run).append(len(pictures))
            labels.append(0 if appearance is None else 1 + THINGS.index(appearance.thing))
            pictures.append(torch.from_numpy(world.picture(second)))
    return Bank(pictures=torch.stack(pictures), labels=torch.tensor(labels), clips=clips, empty=empty)


def story_pictures(world: World, bank: Bank, num_frames: int, rng: np.random.Generator) -> list[int]:
    """Choose a bank picture for every second of a story."""
    chosen: list[int] = []
    shown, clip = None, [0]
    start = 0
    for second in range(num_frames):
        appearance = world.on_screen(second)
        if appearance is None:
            chosen.append(bank.empty[int(rng.integers(len(bank.empty)))])
            continue
        if appearance is not shown:
            clips = bank.clips[appearance.thing]
            clip, start, shown = clips[int(rng.integers(len(clips)))], second, appearance
        chosen.append(clip[(second - start) % len(clip)])
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One batch: ``[streams]`` stories, each followed by question blocks that do not see each other.

    Attributes:
        pictures: bank index of every frame ``[streams, frames]``.
        token_ids: question and answer tokens ``[streams, questions, block]``; the first of a block stands
            for image_newline and is replaced by its embedding.
        targets: next-token targets ``[streams, questions, block]``, ``IGNORED`` where none.
        asked_frames: frames that each question sees ``[streams, questions]``, at least one.
        kinds: the questions' kinds, flat ``[streams * questions]``, "" where none could be asked.
        gaps: position jumps before each frame ``[streams, frames]``.
    """

    pictures: Tensor
    token_ids: Tensor
    targets: Tensor
    asked_frames: Tensor
    kinds: list[str]
    gaps: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """Makes lessons of a fixed shape, so that the compiled decoder never recompiles."""

    tokenizer: PreTrainedTokenizerFast
    bank: Bank
    num_streams: int = 32
    num_frames: int = 24
    num_questions: int = 12
    block_tokens: int = 15
    kinds: tuple[str, ...] = tuple(QUESTION_KINDS)
    max_gap: int = 0

    def lesson(self, rng: np.random.Generator) -> Lesson:
        """Draw one batch of new stories and questions."""
        blocks, targets, asked, names, pictures = [], [], [], [], []
        for _ in range(self.num_streams):
            longest_quiet = int(rng.integers(1, 5))
            world = generate_world(
                int(rng.integers(2**40)), self.num_frames, quiet_seconds=(0, longest_quiet)
            )
            pictures.append(story_pictures(world, self.bank, self.num_frames, rng))
            for _ in range(self.num_questions):
                second = int(rng.integers(self.num_frames))
                kind = self.kinds[int(rng.integers(len(self.kinds)))]
                question = ask_at(world, second, kind, rng)
                block, target = self._block(question)
                blocks.append(block)
                targets.append(target)
                asked.append(second + 1)
                names.append(kind if question else "")
        shape = (self.num_streams, self.num_questions)
        return Lesson(
            pictures=torch.tensor(pictures),
            token_ids=torch.tensor(blocks).view(*shape, -1),
            targets=torch.tensor(targets).view(*shape, -1),
            asked_frames=torch.tensor(asked).view(shape),
            kinds=names,
            gaps=self._gaps(rng),
        )

    def _gaps(self, rng: np.random.Generator) -> Tensor:
        """Jump in position at a few frames of some streams, so that gaps are nothing new to the model."""
        shape = (self.num_streams, self.num_frames)
        if not self.max_gap:
            return torch.zeros(shape, dtype=torch.long)
        jumps = rng.integers(0, self.max_gap, size=shape) * (
            rng.random(shape) < rng.random((shape[0], 1)) / 2
        )
        return torch.from_numpy(jumps * (rng.random((shape[0], 1)) < 0.6)).long()

    def _block(self, question: Question | None) -> tuple[list[int], list[int]]:
        pad = self.tokenizer.pad_token_id
        if question is None:
            return [pad] * self.block_tokens, [IGNORED] * self.block_tokens
        text = f"{question.text}<|im_end|><|im_start|>assistant\n"
        asked = [pad, *self.tokenizer(text, add_special_tokens=False).input_ids]
        answer = self.tokenizer(f"{question.answer}<|im_end|>", add_special_tokens=False).input_ids
        tokens = [*asked, *answer]
        target = [IGNORED] * (len(asked) - 1) + answer + [IGNORED]
        padding = self.block_tokens - len(tokens)
        return tokens + [pad] * padding, target + [IGNORED] * padding


def lesson_mask(asked_frames: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Return who sees whom, bool ``[streams, 1, tokens, tokens]``.

    Args:
        asked_frames: frames that each question sees ``[streams, questions]``.
        shape: prefix tokens, frames, tokens per frame, tokens per question block.
    """
    prefix, frames, per_frame, block = shape
    streams, questions = asked_frames.shape
    video, total = prefix + frames * per_frame, prefix + frames * per_frame + questions * block
    mask = torch.zeros(streams, total, total, dtype=torch.bool)
    mask[:, :video, :video] = torch.ones(video, video, dtype=torch.bool).tril()
    visible = torch.arange(video) < (prefix + asked_frames * per_frame)[..., None]
    mask[:, video:, :video] = visible.repeat_interleave(block, dim=1)
    own = torch.ones(block, block, dtype=torch.bool).tril()
    mask[:, video:, video:] = torch.block_diag(*[own] * questions).bool()
    return mask[:, None]
