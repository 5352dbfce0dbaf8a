"""``hermes ask``: questions about a video file, each at its time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.evidence import evidence_entry, evidence_line
from hermes_stream.cli.interruption import Ending, interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.moments import read_moment
from hermes_stream.cli.opening import open_stream, warn_of_damage
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    AnswerOptions,
    EvidenceOption,
    JsonOption,
    MemoryOptions,
    ModelOptions,
    SourceOptions,
    VideoArgument,
)
from hermes_stream.cli.output import clock, complain, milliseconds, print_json, progress_bar, say, size
from hermes_stream.cli.settings import keeping_line, memory_of, settings_of
from hermes_stream.cli.transcript import asked_back

if TYPE_CHECKING:
    from hermes_stream.stream import Session
    from hermes_stream.stream.playback import TimedAnswer, TimedQuestion
    from hermes_stream.video import FileSource


@expand_options
def ask(
    *,
    video: VideoArgument,
    question: Annotated[list[str], typer.Argument(help="One or more questions.")],
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="When to ask, from the start of the video: 90, 1:30 or 0:01:30; once for all questions or "
            "once for each; default: the end.",
        ),
    ] = None,
    model: ModelOptions,
    memory: MemoryOptions,
    generation: AnswerOptions,
    reading: SourceOptions,
    evidence: EvidenceOption = False,
    json: JsonOption = False,
) -> None:
    """Ask about a video file.

    The whole video is streamed once, and each question is answered at its time, from what the memory then
    holds. A time after the end means the end. The numbers about the memory are those at the end of the video.
    """
    questions = _at_their_times(list(map(_as_text, question)), at or [])
    session, source = open_stream(video, reading, model, memory)
    warn_of_narrow_model(session.model)
    if generation.allow_unseen:
        _check_unseen(session)
    unknown = [warn_of_unknown_words(session.model, one.text) for one in questions]
    answers, ending = _answers(session, source, questions, generation, reads_evidence=evidence)
    warn_of_damage(source)
    done = f"{len(answers)} of {len(questions)} questions answered, {session.stats.num_frames} frames watched"
    if json:
        entries = [_entry(one) | {"unknown_words": unknown[one.given.index]} for one in answers]
        about = {"video": video, **settings_of(session, model, memory), "seed": generation.seed}
        about |= {"fps": source.fps, "duration_seconds": source.duration_seconds}
        about |= memory_of(session) | {"damage": source.damage, "answers": entries}
        print_json(about | ending.document(done))
    else:
        _print(session, source, answers)
        say(keeping_line(memory.policy, session.policy.budget_tokens), err=True)
    ending.leave(done)


def _check_unseen(session: Session) -> None:
    """Tell before the video is watched that the model cannot say "not seen"."""
    from hermes_stream.stream.unseen import check_words

    try:
        check_words(session.model)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--allow-unseen") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """An answer, and what it attended to if that was asked for."""

    given: TimedAnswer
    evidence: dict[str, Any]


def _as_text(argument: str) -> str:
    """Read a word of the command line as UTF-8, which it is whatever the locale says."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _at_their_times(questions: list[str], at: list[str]) -> list[TimedQuestion]:
    """Give each question its time.

    Raises:
        BadParameter: a question is empty, a time is no time, or their numbers do not match.
    """
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


def _answers(
    session: Session,
    source: FileSource,
    questions: list[TimedQuestion],
    generation: AnswerOptions,
    *,
    reads_evidence: bool,
) -> tuple[list[_Answered], Ending]:
    """Watch the video; return the answers in the order of the questions, and how that ended."""
    from hermes_stream.stream.playback import play

    answers, put = [], partial(session.ask, **asdict(generation))
    with interruptible() as ending, progress_bar("watching", source.duration_seconds) as move:
        for given in play(session, source, questions, ask=put, on_frame=move):
            evidence = {}
            if reads_evidence:
                found = session.evidence(given.answer.question, answer_ids=given.answer.token_ids)
                evidence = evidence_entry(found, source.start_seconds)
            answers.append(_Answered(given=given, evidence=evidence))
            if given.is_past_end:
                complain(
                    f"{questions[given.index].at_seconds:g} s is after the end of the video; answered at its "
                    f"end, {given.at_seconds:.3f} s",
                    kind="warning",
                )
    return sorted(answers, key=lambda one: one.given.index), ending


def _entry(one: _Answered) -> dict[str, object]:
    given = one.given
    return {
        "question": given.answer.question,
        "answer": given.text,
        "unseen": given.answer.unseen,
        "clarification": given.answer.clarification,
        "guess": given.answer.guess,
        "at_seconds": round(given.at_seconds, 6),
        "ttft_seconds": round(given.answer.ttft_seconds, 6),
        "ttft_with_pending_seconds": round(given.answer.ttft_with_pending_seconds, 6),
        **one.evidence,
    }


def _print(session: Session, source: FileSource, answers: list[_Answered]) -> None:
    times = [clock(one.given.at_seconds) for one in answers]
    width = max(map(len, times), default=0)
    for time, one in zip(times, answers, strict=True):
        given = one.given
        answer = given.text.strip() or "(no answer)"
        say(f"{time:>{width}}  {given.answer.question}")
        ttft = f"{milliseconds(given.answer.ttft_seconds)} to the first token"
        say(f"{'':{width}}  {answer}  ({asked_back(given.answer)}{ttft})")
        if one.evidence:
            say(f"{'':{width}}  looked at {evidence_line(one.evidence)}")
    stats = session.stats
    say(
        f"{stats.num_frames} frames at {source.fps:g} fps; {stats.num_visual_tokens_kept} of "
        f"{stats.num_visual_tokens_seen} visual tokens kept in {size(stats.cache_bytes)}",
        err=True,
    )
