"""What a benchmark is made of: episodes, each a video with questions and the moments they are asked at.

It knows nothing of files, dialects or models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Span = tuple[float, float]


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
        evidence: when what decides the answer shows, (from, until) in seconds; empty where nobody says.
    """

    question_id: str
    text: str
    answer: str
    options: tuple[str, ...] = ()
    answer_index: int | None = None
    kind: str
    asked_seconds: float
    evidence: tuple[Span, ...] = ()

    @property
    def delay_seconds(self) -> float | None:
        """How far back the oldest evidence had left the screen when asked.

        None without evidence, and where the moment of asking is the end of the video.
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
        duration_seconds: length of the video in seconds, where the annotations say so.
        left_out: why questions of the annotations are not here, one reason for each.
    """

    video: str
    questions: tuple[EvalQuestion, ...]
    duration_seconds: float | None = None
    left_out: tuple[str, ...] = ()
