"""``hermes ask``: questions about a video file, each at its time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.evidence import evidence_entry, evidence_line
from hermes_stream.cli.interruption import Ending, interruptible
from hermes_stream.cli.knowledge import warn_of_narrow_model, warn_of_unknown_words
from hermes_stream.cli.opening import open_stream, warn_of_damage
from hermes_stream.cli.option_groups import expand_options, typed_options
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
from hermes_stream.cli.question_times import TimesOptions, waiting_asker
from hermes_stream.cli.settings import keeping_line, memory_of, settings_of
from hermes_stream.cli.transcript import asked_back

if TYPE_CHECKING:
    from hermes_stream.stream import Answer, Session
    from hermes_stream.stream.playback import Due, TimedAnswer, TimedQuestion
    from hermes_stream.video import FileSource


@expand_options
def ask(  # noqa: PLR0913 - one parameter per choice
    *,
    context: typer.Context,
    video: VideoArgument,
    question: Annotated[list[str], typer.Argument(help="One or more questions.")],
    times: TimesOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    generation: AnswerOptions,
    reading: SourceOptions,
    evidence: EvidenceOption = False,
    json: JsonOption = False,
) -> None:
    """Ask about a video file.

    The whole video is streamed once, and each question is answered at its time, from what the memory then
    holds; with --wait, once what answers it has been seen. A time after the end means the end. The numbers
    about the memory are those at the end of the video.
    """
    questions = times.questions(list(map(_as_text, question)))
    # a question that waits is looked after once a chunk
    is_prompt = times.wait is not None and "chunk_frames" not in typed_options(context)
    session, source = open_stream(video, reading, model, memory, is_prompt=is_prompt)
    warn_of_narrow_model(session.model)
    if generation.allow_unseen:
        _check_unseen(session)
    unknown = [warn_of_unknown_words(session.model, one.text) for one in questions]
    answers, ending = _answers(session, source, questions, generation, times=times, reads_evidence=evidence)
    warn_of_damage(source)
    num_answered = sum(one.answer is not None for one in answers)
    done = f"{num_answered} of {len(questions)} questions answered, {session.stats.num_frames} frames watched"
    if json:
        entries = [_entry(one) | {"unknown_words": unknown[one.index]} for one in answers]
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
    """A question, its answer if its evidence came, and what that attended to if it was asked for."""

    index: int
    question: str
    answer: Answer | None
    at_seconds: float
    answered_seconds: float | None
    evidence: dict[str, Any]


def _as_text(argument: str) -> str:
    """Read a word of the command line as UTF-8, which it is whatever the locale says."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _answers(
    session: Session,
    source: FileSource,
    questions: list[TimedQuestion],
    generation: AnswerOptions,
    *,
    times: TimesOptions,
    reads_evidence: bool,
) -> tuple[list[_Answered], Ending]:
    """Watch the video; return the answers in the order of the questions, and how that ended."""
    from hermes_stream.stream.playback import play, play_waiting

    answers: list[_Answered] = []

    def take(due: Due | TimedAnswer, answer: Answer | None, seconds: float) -> None:
        evidence = {}
        if reads_evidence and answer is not None:
            found = session.evidence(answer.question, answer_ids=answer.token_ids)
            evidence = evidence_entry(found, source.start_seconds)
        answers.append(
            _Answered(
                index=due.index,
                question=questions[due.index].text,
                answer=answer,
                at_seconds=due.at_seconds,
                answered_seconds=None if answer is None else seconds,
                evidence=evidence,
            )
        )
        if due.is_past_end:
            complain(
                f"{questions[due.index].at_seconds:g} s is after the end of the video; "
                f"{'asked' if answer is None else 'answered'} at its end, {due.at_seconds:.3f} s",
                kind="warning",
            )

    put = partial(session.ask, **asdict(generation))
    wait = None if times.wait is None else waiting_asker(session, questions, generation, times)
    with interruptible() as ending, progress_bar("watching", source.duration_seconds) as move:
        if wait is None:
            for given in play(session, source, questions, ask=put, on_frame=move):
                take(given, given.answer, given.at_seconds)
        else:
            play_waiting(
                session,
                source,
                questions,
                ask=wait,
                on_done=lambda one: take(one.due, one.deferred.answer, one.until_seconds),
                on_frame=move,
            )
    return sorted(answers, key=lambda one: one.index), ending


def _entry(one: _Answered) -> dict[str, object]:
    answer = one.answer
    return {
        "question": one.question,
        "answer": None if answer is None else answer.text,
        "unseen": answer is not None and answer.unseen,
        "clarification": answer is not None and answer.clarification,
        "guess": None if answer is None else answer.guess,
        "at_seconds": round(one.at_seconds, 6),
        "answered_seconds": None if one.answered_seconds is None else round(one.answered_seconds, 6),
        "ttft_seconds": None if answer is None else round(answer.ttft_seconds, 6),
        "ttft_with_pending_seconds": None if answer is None else round(answer.ttft_with_pending_seconds, 6),
        **one.evidence,
    }


def _print(session: Session, source: FileSource, answers: list[_Answered]) -> None:
    times = [clock(one.at_seconds) for one in answers]
    width = max(map(len, times), default=0)
    for time, one in zip(times, answers, strict=True):
        say(f"{time:>{width}}  {one.question}")
        say(f"{'':{width}}  {_told(one)}")
        if one.evidence:
            say(f"{'':{width}}  looked at {evidence_line(one.evidence)}")
    stats = session.stats
    say(
        f"{stats.num_frames} frames at {source.fps:g} fps; {stats.num_visual_tokens_kept} of "
        f"{stats.num_visual_tokens_seen} visual tokens kept in {size(stats.cache_bytes)}",
        err=True,
    )


def _told(one: _Answered) -> str:
    answer, later = one.answer, ""
    if answer is None or one.answered_seconds is None:
        return "(what answers it did not come in time)"
    if one.answered_seconds > one.at_seconds:
        later = f"at {clock(one.answered_seconds)}, "
    ttft = f"{milliseconds(answer.ttft_seconds)} to the first token"
    return f"{answer.text.strip() or '(no answer)'}  ({later}{asked_back(answer)}{ttft})"
