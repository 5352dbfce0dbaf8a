"""What may stand in a session's place: one knows the truth, one sees black, one takes notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from hermes_lab.datasets import EvalQuestion
from hermes_lab.evaluation import Reply, Watcher
from hermes_stream.synthetic.world import World
from hermes_stream.video.frame import Frame


@dataclass
class Pictures:
    """Frames as a source, from wherever their times start."""

    frames: list[Frame]

    @property
    def start_seconds(self) -> float:
        return self.frames[0].pts_seconds

    @property
    def duration_seconds(self) -> float:
        return self.frames[-1].pts_seconds + self.frames[-1].duration_seconds - self.start_seconds

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)


def grey(seconds: float, duration_seconds: float = 1.0) -> Frame:
    image = np.full((2, 2, 3), 128, dtype=np.uint8)
    return Frame(pts_seconds=seconds, image=image, duration_seconds=duration_seconds)


def told(world: World, fps: float = 1.0) -> Pictures:
    """A story's pictures as a source."""
    return Pictures(list(world.frames(fps)))


class Gold:
    """Answers the truth."""

    def observe(self, frame: Frame) -> None:
        pass

    def answer(self, question: EvalQuestion) -> Reply:
        return Reply(text=question.answer, option_index=question.answer_index)

    def notices(self, question: EvalQuestion) -> bool:
        return True


@dataclass
class Blind:
    """Lets another watch in the dark."""

    watcher: Watcher

    def observe(self, frame: Frame) -> None:
        self.watcher.observe(replace(frame, image=np.zeros_like(frame.image)))

    def answer(self, question: EvalQuestion) -> Reply:
        return self.watcher.answer(question)

    def notices(self, question: EvalQuestion) -> bool:
        return self.watcher.notices(question)


@dataclass
class Recorder:
    """Notes which frames it had seen at each question."""

    times: list[float] = field(default_factory=list)
    seen_at: dict[str, list[float]] = field(default_factory=dict)
    notices_from_seconds: float = 0.0

    def observe(self, frame: Frame) -> None:
        self.times.append(frame.pts_seconds)

    def answer(self, question: EvalQuestion) -> Reply:
        self.seen_at[question.question_id] = list(self.times)
        return Reply(text="?")

    def notices(self, question: EvalQuestion) -> bool:
        return self.times[-1] >= self.notices_from_seconds
