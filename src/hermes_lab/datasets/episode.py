"""What a benchmark is made of: episodes, each a video with questions and the moments they are asked at.

It knows nothing of files, dialects or models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Span = tuple[float, float]
Form = Literal["words", "number", "yes_no", "proactive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalQuestion:
    """One question with its truth.

    Attributes:
        question_id: its name among the annotations.
        text: what is asked.
        answer: the one right answer; with options, one of them.
        options: what there is to choose from, without letters; empty for an open question.
        answer_index: which option is right; None for an open question.
        kind: what sort of question it is, as the annotations say.
        asked_seconds: the moment of asking, from the video's first frame; infinity is the end.
        evidence: when what decides the answer shows, (from, until) in seconds; empty if that is not known.
        form: what an answer without options is; a "proactive" one must come unasked, at the right moment.
        due_seconds: that moment, of a proactive question.
        preamble: what is put before the question when it is asked, such as earlier questions.
        group: what a benchmark reports together besides kinds, such as videos of a length; often empty.
    """

    question_id: str
    text: str
    answer: str
    options: tuple[str, ...] = ()
    answer_index: int | None = None
    kind: str
    asked_seconds: float
    evidence: tuple[Span, ...] = ()
    form: Form = "words"
    due_seconds: float | None = None
    preamble: str = ""
    group: str = ""

    @property
    def has_truth(self) -> bool:
        """Whether the annotations say what is right."""
        return self.answer_index is not None or bool(self.answer)

    @property
    def delay_seconds(self) -> float | None:
        """Seconds between the oldest evidence leaving the screen and the question.

        None without evidence, and if the moment of asking is the end of the video.
        """
        if not self.evidence or math.isinf(self.asked_seconds):
            return None
        return self.asked_seconds - min(end for _, end in self.evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A video and what is asked about it.

    Attributes:
        video: the path of the video, as annotated.
        questions: what is asked, earliest first.
        duration_seconds: length of the video in seconds, if the annotations say so.
        left_out: why questions of the annotations are not here, one reason for each.
        clip: the part of the video that is watched, (from, until) in seconds; None is all of it. Questions
            count their moments from its start.
        pictures_fps: pictures per second of a video that is no video file.
    """

    video: str
    questions: tuple[EvalQuestion, ...]
    duration_seconds: float | None = None
    left_out: tuple[str, ...] = ()
    clip: Span | None = None
    pictures_fps: float | None = None

    @property
    def name(self) -> str:
        """The name of the episode: its video, and which part of it."""
        return self.video if self.clip is None else f"{self.video}#t={self.clip[0]:g},{self.clip[1]:g}"
