"""When the questions of ``hermes ask`` are asked, and whether they wait for their evidence."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.knowledge import warn_of_unknown_words
from hermes_stream.cli.moments import read_moment
from hermes_stream.cli.options import AnswerOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hermes_stream.stream import Session
    from hermes_stream.stream.playback import TimedQuestion
    from hermes_stream.stream.watches.deferred import Deferred

AtOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TIME",
        help="When to ask, from the start of the video: 90, 1:30 or 0:01:30; once for all questions or "
        "once for each; default: the end.",
    ),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="Let each question wait in the video, from --at on and at most so long, until what answers it "
        "has been seen; default: answer at once.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="QUESTION",
        help="With --wait: answered by yes once that has been seen; default: the model is asked whether it "
        "has.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimesOptions:
    """When questions are asked, and whether they wait."""

    at: AtOption = None
    wait: WaitOption = None
    until: UntilOption = None

    def questions(self, texts: list[str]) -> list[TimedQuestion]:
        """Give each question its time, before a model is loaded.

        Raises:
            BadParameter: a question is empty, a time is no time, their numbers do not match, or a question
                would wait for nothing.
        """
        self._check_wait()
        return _at_their_times(texts, self.at or [])

    def _check_wait(self) -> None:
        if self.wait is None and self.until is not None:
            raise typer.BadParameter("give --wait, too: --until is of what waits", param_hint="--until")
        if self.wait is None:
            return
        if not (math.isfinite(self.wait) and self.wait > 0):
            raise typer.BadParameter(f"{self.wait} is no number of seconds above 0", param_hint="--wait")
        if not self.at:
            raise typer.BadParameter(
                "give --at, too: without, questions are asked at the end of the video, where nothing more "
                "comes",
                param_hint="--wait",
            )


def _at_their_times(questions: list[str], at: list[str]) -> list[TimedQuestion]:
    from hermes_stream.stream.playback import TimedQuestion

    if not all(text.strip() for text in questions):
        raise typer.BadParameter("a question must not be empty", param_hint="QUESTION")
    try:
        moments = list(map(read_moment, at))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from error
    if len(at) not in (0, 1, len(questions)):
        raise typer.BadParameter(
            f"{len(at)} times for {len(questions)} question{'s' * (len(questions) > 1)}; give --at once for "
            "all questions, or once for each",
            param_hint="--at",
        )
    times = moments if len(at) == len(questions) else (moments or [math.inf]) * len(questions)
    return [
        TimedQuestion(text=text, at_seconds=seconds) for text, seconds in zip(questions, times, strict=True)
    ]


def waiting_asker(
    session: Session, questions: Sequence[TimedQuestion], generation: AnswerOptions, times: TimesOptions
) -> Callable[[int], Deferred]:
    """Return what lets the question of an index wait; one that cannot is told before the video is watched.

    Raises:
        HermesError: a question does not fit, or the model lacks the words of yes and no.
        ValueError: an argument is out of its range.
    """
    from hermes_stream.stream.watches.deferred import gate_rules

    wait_seconds = times.wait or 0.0

    def put(index: int) -> Deferred:
        text = questions[index].text
        return session.ask(text, wait_seconds=wait_seconds, until=times.until, **asdict(generation))

    for index in range(len(questions)):
        put(index).cancel()
    for gate in dict.fromkeys(gate_rules(one.text, None, times.until)[0]["question"] for one in questions):
        warn_of_unknown_words(session.model, gate)
    return put
