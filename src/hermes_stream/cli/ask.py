"""``hermes ask``: questions about a video file, each at its time."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.evidence import evidence_entry, evidence_line
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
from hermes_stream.cli.output import clock, complain, milliseconds, print_json, progress_bar, size
from hermes_stream.cli.settings import memory_of, settings_of

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
        list[float] | None,
        typer.Option(
            metavar="SECONDS",
            help="When to ask, in seconds from the start of the video; once for all questions or once for "
            "each; default: the end.",
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
    questions = _at_their_times(question, at or [])
    session, source = open_stream(video, reading, model, memory)
    answers, evidence_of = _answers(session, source, questions, generation, reads_evidence=evidence)
    warn_of_damage(source)
    if json:
        entries = [_entry(given, evidence_of.get(given.index)) for given in answers]
        about = {"video": video, **settings_of(session, model, memory), "seed": generation.seed}
        about |= {"fps": source.fps, "duration_seconds": source.duration_seconds}
        print_json(about | memory_of(session) | {"damage": source.damage, "answers": entries})
    else:
        _print(session, source, answers, evidence_of)


def _at_their_times(questions: list[str], at: list[float]) -> list[TimedQuestion]:
    """Give each question its time.

    Raises:
        BadParameter: a question is empty, a time is no time, or their numbers do not match.
    """
    from hermes_stream.stream.playback import TimedQuestion

    if not all(text.strip() for text in questions):
        raise typer.BadParameter("a question must not be empty", param_hint="QUESTION")
    for seconds in at:
        if not (math.isfinite(seconds) and seconds >= 0):
            raise typer.BadParameter(
                f"{seconds} is no time in a video; give seconds from its start, 0 or more", param_hint="--at"
            )
    if len(at) not in (0, 1, len(questions)):
        raise typer.BadParameter(
            f"{len(at)} times for {len(questions)} question{'s' * (len(questions) > 1)}; give --at once for "
            "all questions, or once for each",
            param_hint="--at",
        )
    times = at if len(at) == len(questions) else (at or [math.inf]) * len(questions)
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
) -> tuple[list[TimedAnswer], dict[int, dict[str, Any]]]:
    """Watch the video; return the answers in the order of the questions, and their evidence if asked for."""
    from hermes_stream.stream.playback import play

    answers, evidence_of = [], {}
    put = partial(session.ask, **asdict(generation))
    with progress_bar("watching", source.duration_seconds) as move:
        for given in play(session, source, questions, ask=put, on_frame=move):
            answers.append(given)
            if reads_evidence:
                found = session.evidence(given.answer.question, answer_ids=given.answer.token_ids)
                evidence_of[given.index] = evidence_entry(found, source.start_seconds)
            if given.is_past_end:
                complain(
                    f"{questions[given.index].at_seconds:g} s is after the end of the video; answered at its "
                    f"end, {given.at_seconds:.3f} s",
                    kind="warning",
                )
    return sorted(answers, key=lambda given: given.index), evidence_of


def _entry(given: TimedAnswer, evidence: dict[str, Any] | None) -> dict[str, object]:
    return {
        "question": given.answer.question,
        "answer": given.text,
        "at_seconds": round(given.at_seconds, 6),
        "ttft_seconds": round(given.answer.ttft_seconds, 6),
        "ttft_with_pending_seconds": round(given.answer.ttft_with_pending_seconds, 6),
        **(evidence or {}),
    }


def _print(
    session: Session, source: FileSource, answers: list[TimedAnswer], evidence_of: dict[int, dict[str, Any]]
) -> None:
    times = [clock(given.at_seconds) for given in answers]
    width = max(map(len, times))
    for time, given in zip(times, answers, strict=True):
        answer = given.text.strip() or "(no answer)"
        typer.echo(f"{time:>{width}}  {given.answer.question}")
        typer.echo(f"{'':{width}}  {answer}  ({milliseconds(given.answer.ttft_seconds)} to the first token)")
        if given.index in evidence_of:
            typer.echo(f"{'':{width}}  looked at {evidence_line(evidence_of[given.index])}")
    stats = session.stats
    typer.echo(
        f"{stats.num_frames} frames at {source.fps:g} fps; {stats.num_visual_tokens_kept} of "
        f"{stats.num_visual_tokens_seen} visual tokens kept in {size(stats.cache_bytes)}",
        err=True,
    )
