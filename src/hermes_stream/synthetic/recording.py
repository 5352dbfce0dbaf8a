"""A world written as a video file, for a session to watch and to be asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from hermes_stream.stream import Session
from hermes_stream.stream.playback import TimedAnswer, TimedQuestion, play
from hermes_stream.synthetic.moment import Question
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.questions import KIND_GROUPS
from hermes_stream.synthetic.world import World, generate_world
from hermes_stream.video import FileSource, write_video

# The file shows more than is sampled from it, as films do.
_VIDEO_FPS = 8
_VIDEO_PIXELS = 240
_ANSWER_TOKENS = 16


class Marked(Protocol):
    """A question of which it is known whether its answer is right."""

    @property
    def question(self) -> Question:
        """What was asked."""

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth."""


M = TypeVar("M", bound=Marked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A question with the answer that a session gave."""

    question: Question
    given: TimedAnswer

    @property
    def is_right(self) -> bool:
        """Whether the answer is the truth, case and a full stop at its end aside."""
        return is_truth(self.question, self.given.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A world, its video file, and what is asked about it, earliest first."""

    world: World
    path: Path
    questions: tuple[Question, ...]

    def play(
        self, session: Session, *, on_frame: Callable[[float], None] = lambda _: None
    ) -> Iterator[Graded]:
        """Stream the file into a session and ask each question at its time, in open words.

        The stream ends at the last question.

        Args:
            session: has seen nothing yet.
            on_frame: receives the time of each frame in seconds.
        """
        source = FileSource(self.path, fps=session.model.card.default_fps)
        asked = [TimedQuestion(text=one.text, at_seconds=float(one.asked_seconds)) for one in self.questions]
        ask = partial(session.ask, max_new_tokens=_ANSWER_TOKENS)
        answers = play(session, source, asked, ask=ask, on_frame=on_frame)
        for given in islice(answers, len(asked)):
            yield Graded(question=self.questions[given.index], given=given)
        session.flush()


@contextmanager
def recorded_world(
    seed: int, *, duration_seconds: float, num_questions: int, save: Path | None = None
) -> Iterator[Recording]:
    """Write a world as a video and plan the questions about it, from a third of it on.

    Before, there is little that a memory could have forgotten.

    Args:
        seed: same seed, same world and questions.
        duration_seconds: its length in seconds.
        num_questions: how many to ask.
        save: where to keep the video; None keeps it while the context lasts.
    """
    world = generate_world(seed, duration_seconds)
    from_second = int(duration_seconds) // 3
    questions = plan_questions(world, num_questions=num_questions, seed=seed, from_second=from_second)
    with TemporaryDirectory(prefix="hermes-demo-") as folder:
        path = save or Path(folder) / f"world-{seed}.mp4"
        write_video(path, world.frames(_VIDEO_FPS, size=_VIDEO_PIXELS), fps=_VIDEO_FPS)
        yield Recording(world=world, path=path, questions=questions)


def is_truth(question: Question, text: str) -> bool:
    """Tell whether an answer is the truth, case and a full stop at its end aside."""
    return _comparable(text) == _comparable(question.answer)


def accuracies(graded: Sequence[Marked]) -> dict[str, object]:
    """Return the shares of right answers: of all, by kind in alphabetical order, by group of kinds.

    Args:
        graded: at least one.
    """
    kinds = sorted({one.question.kind for one in graded})
    groups = {group: own for group, own in KIND_GROUPS.items() if set(own) & set(kinds)}
    return {
        "accuracy": _accuracy(graded),
        "accuracy_by_kind": {kind: _accuracy(of_kinds(graded, [kind])) for kind in kinds},
        "accuracy_by_group": {group: _accuracy(of_kinds(graded, own)) for group, own in groups.items()},
    }


def of_kinds(graded: Sequence[M], kinds: Sequence[str]) -> list[M]:
    """Return the questions that are of some kinds."""
    return [one for one in graded if one.question.kind in kinds]


def _accuracy(graded: Sequence[Marked]) -> float:
    return round(sum(one.is_right for one in graded) / len(graded), 6)


def _comparable(text: str) -> str:
    return text.strip().removesuffix(".").rstrip().lower()
