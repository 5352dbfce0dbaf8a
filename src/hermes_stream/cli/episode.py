"""A generated story with questions of every kind, watched by a session and scored.

It knows nothing of terminals: what is asked comes back as values, one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from hermes_stream.cli.playing import TimedQuestion, play
from hermes_stream.tiny.questions import QUESTION_KINDS, Question, ask_at
from hermes_stream.tiny.world import World, generate_world
from hermes_stream.video import FileSource, write_video

if TYPE_CHECKING:
    from hermes_stream.stream import Session, SessionStats

# The file shows more than is sampled from it, as films do.
_PICTURES_PER_FRAME = 4
_ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of an episode with what became of it."""

    question: Question
    answer: str
    ttft_seconds: float
    ttft_with_pending_seconds: float
    stats: SessionStats

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth, case and a full stop aside."""
        return self.answer.strip().rstrip(".").lower() == self.question.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A story and what is asked about it, earliest question first."""

    world: World
    fps: float
    questions: tuple[Question, ...]

    def write(self, path: Path) -> None:
        """Write the story as a video file."""
        fps = self.fps * _PICTURES_PER_FRAME
        write_video(path, self.world.frames(fps), fps=fps)

    def play(
        self, session: Session, path: Path, *, on_frame: Callable[[float], None] = lambda _: None
    ) -> Iterator[Asked]:
        """Stream the written file into a session and ask each question at its time.

        Args:
            session: has seen nothing yet.
            path: where the story was written.
            on_frame: is told the time of each frame in seconds.
        """
        timed = [
            TimedQuestion(text=question.text, at_seconds=question.asked_seconds)
            for question in self.questions
        ]
        for given in play(
            session,
            FileSource(path, fps=self.fps),
            timed,
            ask=lambda text: session.ask(text, max_new_tokens=_ANSWER_TOKENS),
            on_frame=on_frame,
        ):
            yield Asked(
                question=self.questions[given.index],
                answer=given.text,
                ttft_seconds=given.answer.ttft_seconds,
                ttft_with_pending_seconds=given.answer.ttft_with_pending_seconds,
                stats=given.stats,
            )


def make_episode(seed: int, *, duration_seconds: float, fps: float, num_questions: int) -> Episode:
    """Make a story and questions about it, spread evenly over its frames and over the kinds.

    Args:
        seed: same seed, same episode.
        duration_seconds: length of the story in seconds, above 0.
        fps: frames sampled per second; questions are asked at sampled moments.
        num_questions: how many to ask, at least 1.
    """
    world = generate_world(seed, duration_seconds)
    rng = np.random.default_rng([seed, num_questions])
    num_frames = int(np.ceil(duration_seconds * fps - 1e-9))
    questions: list[Question] = []
    num_of_kind: Counter[str] = Counter()
    for k in range(num_questions):
        frame_number = (k + 1) * num_frames // num_questions - 1
        question = _choose(world, max(frame_number, 0) / fps, questions, num_of_kind, rng)
        questions.append(question)
        num_of_kind[question.kind] += 1
    return Episode(world=world, fps=fps, questions=tuple(questions))


def _choose(
    world: World,
    seconds: float,
    earlier: Sequence[Question],
    num_of_kind: Counter[str],
    rng: np.random.Generator,
) -> Question:
    """Choose a question not yet asked at this moment, of the kind asked least so far."""
    at_once = {question.text for question in earlier if question.asked_seconds == seconds}
    drawn = [ask_at(world, seconds, kind, rng) for kind in rng.permutation(list(QUESTION_KINDS))]
    possible = [question for question in drawn if question is not None]
    return min(possible, key=lambda question: (question.text in at_once, num_of_kind[question.kind]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many answers of each kind were right, kinds in alphabetical order."""

    num_right: dict[str, int]
    num_asked: dict[str, int]
    ttft_seconds: float

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> Score:
        """Count; the latency is the median."""
        kinds = sorted({one.question.kind for one in asked})
        right = Counter(one.question.kind for one in asked if one.is_right)
        every = Counter(one.question.kind for one in asked)
        return cls(
            num_right={kind: right[kind] for kind in kinds},
            num_asked={kind: every[kind] for kind in kinds},
            ttft_seconds=median(one.ttft_seconds for one in asked),
        )

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.num_right.values()) / sum(self.num_asked.values())

    @property
    def accuracy_by_kind(self) -> dict[str, float]:
        """Share of right answers of each kind."""
        return {kind: self.num_right[kind] / num_asked for kind, num_asked in self.num_asked.items()}
