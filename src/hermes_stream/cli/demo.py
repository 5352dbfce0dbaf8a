"""``hermes demo``: a generated stream is watched and asked about, with the memory and with a rival."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.interruption import Ending, interruptible
from hermes_stream.cli.opening import check_options, load, open_session, read_policy
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption, MemoryOptions, ModelOptions, SeedOption
from hermes_stream.cli.output import doing, print_json, progress_bar, say, screen
from hermes_stream.cli.settings import keeping_line, memory_of, settings_of

if TYPE_CHECKING:
    from hermes_stream.cli.demo_table import AnswerTable
    from hermes_stream.models import VideoModel
    from hermes_stream.stream import Session
    from hermes_stream.synthetic.recording import Graded, Recording

_NUM_QUESTIONS = 40
_NO_RIVAL = "none"

LiveOption = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Play it over RTSP as it happens, watch it with the service, and ask over HTTP; no rival.",
    ),
]


@expand_options
def demo(
    *,
    seed: SeedOption = 0,
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=20, help="Length of the generated stream.")
    ] = 48,
    model: ModelOptions,
    memory: MemoryOptions,
    against: Annotated[
        str,
        typer.Option("--against", metavar="NAME", help="Policy that answers beside it, or 'none'."),
    ] = "window",
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE.mp4", help="Keep the stream as a video.")
    ] = None,
    live: LiveOption = False,
    json: JsonOption = False,
) -> None:
    """Play a generated stream, ask 40 questions at their times, and score the answers.

    Coloured shapes come, move and go, several at once; the story follows from the seed. It is written as an
    H.264 file and watched from there, as any other video is. A rival answers the same questions from as many
    tokens: by default one that keeps the newest frames.
    """
    check_options(model, memory)
    rival = _rival_memory(memory, against)
    loaded = load(model)
    from hermes_stream.synthetic.recording import recorded_world

    with recorded_world(seed, duration_seconds=seconds, num_questions=_NUM_QUESTIONS, save=save) as recording:
        if live:
            from hermes_stream.cli.live_demo import play_live

            play_live(loaded, memory, recording, as_json=json)
            return
        beside = _play_rival(rival, loaded, recording)
        session = open_session(memory, loaded)
        line = keeping_line(memory.policy, session.policy.budget_tokens)
        table = None if json else _begin_table(session, recording, line, against if beside else None)
        began = time.perf_counter()
        graded, ending = _play(session, recording, table, beside)
        took_seconds = time.perf_counter() - began
    if ending.cause is not None and not graded:
        raise ending.cause
    beside = beside[: len(graded)]
    done = f"{len(graded)} of {len(recording.questions)} questions answered"
    if table is None:
        about = settings_of(session, model, memory) | _document(session, recording, graded)
        print_json(about | _rival_document(against, beside) | ending.document(done))
    else:
        from hermes_stream.cli.demo_table import print_totals

        stats = session.stats
        watched = stats.num_frames / session.model.card.default_fps
        print_totals(table.console, graded, beside, stats, watched_seconds=watched, took_seconds=took_seconds)
    ending.leave(done)


def _rival_memory(memory: MemoryOptions, against: str) -> MemoryOptions | None:
    """Return the memory of the rival, with the same budget where it takes one."""
    if against in (_NO_RIVAL, memory.policy):
        return None
    takes_budget = read_policy(against, option="--against").takes_budget
    return replace(memory, policy=against, budget_tokens=memory.budget_tokens if takes_budget else None)


def _play_rival(memory: MemoryOptions | None, model: VideoModel, recording: Recording) -> list[Graded]:
    if memory is None:
        return []
    with doing(f"watching with policy {memory.policy} first"):
        return list(recording.play(open_session(memory, model)))


def _play(
    session: Session, recording: Recording, table: AnswerTable | None, rival: Sequence[Graded]
) -> tuple[list[Graded], Ending]:
    """Play the recording; rows appear as questions are answered."""
    graded: list[Graded] = []
    bar = progress_bar("watching", recording.world.duration_seconds, above=table.console if table else None)
    with interruptible() as ending, bar as move:
        for one in recording.play(session, on_frame=move):
            if table is not None:
                table.print_row(one, rival[len(graded)] if rival else None)
            graded.append(one)
    return graded, ending


def _begin_table(session: Session, recording: Recording, memory: str, rival: str | None) -> AnswerTable:
    from hermes_stream.cli.demo_table import AnswerTable

    card = session.model.card
    say(f"{card.name} watches story {recording.world.seed}, {card.default_fps:g} frames a second; {memory}\n")
    table = AnswerTable(screen(), rival=rival)
    table.print_heading()
    return table


def _document(session: Session, recording: Recording, graded: Sequence[Graded]) -> dict[str, object]:
    from hermes_stream.synthetic.recording import accuracies

    stats = session.stats
    return {
        "seed": recording.world.seed,
        "fps": session.model.card.default_fps,
        "duration_seconds": recording.world.duration_seconds,
        **memory_of(session),
        "kept_share": round(stats.num_visual_tokens_kept / stats.num_visual_tokens_seen, 6),
        "num_questions": len(graded),
        **accuracies(graded),
        "num_questions_by_kind": dict(sorted(Counter(one.question.kind for one in graded).items())),
        "ttft_seconds": round(median(one.given.answer.ttft_seconds for one in graded), 6),
        "questions": [_entry(one) for one in graded],
    }


def _rival_document(name: str, rival: Sequence[Graded]) -> dict[str, object]:
    """Return how the rival did; nothing where there was none."""
    from hermes_stream.synthetic.recording import accuracies

    if not rival:
        return {}
    return {"against": {"policy": name, **accuracies(rival), "answers": [one.given.text for one in rival]}}


def _entry(one: Graded) -> dict[str, object]:
    question, given = one.question, one.given
    return {
        "kind": question.kind,
        "question": question.text,
        "answer": given.text,
        "truth": question.answer,
        "is_right": one.is_right,
        "at_seconds": given.at_seconds,
        "delay_seconds": question.delay_seconds,
        "ttft_seconds": round(given.answer.ttft_seconds, 6),
        "num_visual_tokens_seen": given.stats.num_visual_tokens_seen,
        "num_visual_tokens_kept": given.stats.num_visual_tokens_kept,
    }
