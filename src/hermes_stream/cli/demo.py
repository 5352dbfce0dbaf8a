"""``hermes demo``: a generated stream is watched and asked about, with the memory and with a rival."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.opening import check_options, load, open_session
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    JsonOption,
    MemoryOptions,
    ModelOptions,
    SeedOption,
)
from hermes_stream.cli.output import doing, print_json, progress_bar, screen
from hermes_stream.cli.policy_choice import read_policy
from hermes_stream.cli.settings import memory_of, settings_of

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.evaluation import Prediction
    from hermes_stream.cli.demo_story import Story
    from hermes_stream.cli.scoreboard import Scoreboard
    from hermes_stream.models import VideoModel
    from hermes_stream.stream import Session

_NUM_QUESTIONS = 40
_NOBODY = "none"


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
    json: JsonOption = False,
) -> None:
    """Play a generated stream, ask 40 questions at their times, and score the answers.

    Coloured shapes come, move and go, several at once; the story follows from the seed. It is written as an
    H.264 file and watched from there, as any other video is. A rival answers the same questions from as many
    tokens: by default one that keeps the newest frames.
    """
    check_options(model, memory)
    rival = _rival(memory, against)
    loaded = load(model)
    from hermes_stream.cli.demo_story import written_story

    with written_story(seed, duration_seconds=seconds, num_questions=_NUM_QUESTIONS, save=save) as story:
        other = _play_rival(rival, loaded, story)
        session = open_session(memory, loaded)
        table = None if json else screen()
        board = _begin_board(table, session, story, (memory.policy, against if other else None))
        began = time.perf_counter()
        asked = _play(session, story, board, other)
        took_seconds = time.perf_counter() - began
    if table is None:
        settings = settings_of(session, model, memory)
        print_json(settings | _document(session, story, asked) | _rival_of(against, other))
        return
    from hermes_stream.cli.scoreboard import print_totals

    print_totals(table, asked, other, session.stats, watched_seconds=seconds, took_seconds=took_seconds)


def _rival(memory: MemoryOptions, against: str) -> MemoryOptions | None:
    """Return the memory of the rival, with the same budget where it takes one."""
    if against in (_NOBODY, memory.policy):
        return None
    takes_budget = read_policy(against, option="--against").takes_budget
    return replace(memory, policy=against, budget_tokens=memory.budget_tokens if takes_budget else None)


def _play_rival(memory: MemoryOptions | None, model: VideoModel, story: Story) -> list[Prediction]:
    if memory is None:
        return []
    with doing(f"watching with policy {memory.policy} first"):
        return list(story.play(open_session(memory, model)))


def _play(
    session: Session, story: Story, board: Scoreboard | None, other: list[Prediction]
) -> list[Prediction]:
    """Play the story; rows appear as questions are answered."""
    asked: list[Prediction] = []
    above = board.console if board else None
    with progress_bar("watching", story.world.duration_seconds, above=above) as move:
        for one in story.play(session, on_frame=move):
            if board is not None:
                board.print_row(one, other[len(asked)] if other else None)
            asked.append(one)
    return asked


def _begin_board(
    table: Console | None, session: Session, story: Story, names: tuple[str, str | None]
) -> Scoreboard | None:
    if table is None:
        return None
    from hermes_stream.cli.scoreboard import Scoreboard

    budget = session.policy.budget_tokens
    kept = "all" if budget is None else f"at most {budget}"
    card = session.model.card
    typer.echo(
        f"{card.name} watches story {story.world.seed}, {card.default_fps:g} frames a second; "
        f"policy {names[0]} keeps {kept} visual tokens per layer\n"
    )
    board = Scoreboard(table, rival=names[1])
    board.print_heading()
    return board


def _document(session: Session, story: Story, asked: list[Prediction]) -> dict[str, object]:
    stats = session.stats
    return {
        "seed": story.world.seed,
        "fps": session.model.card.default_fps,
        "duration_seconds": story.world.duration_seconds,
        **memory_of(session),
        "kept_share": round(stats.num_visual_tokens_kept / stats.num_visual_tokens_seen, 6),
        "num_questions": len(asked),
        **_shares(asked),
        "num_questions_by_kind": dict(sorted(Counter(one.question.kind for one in asked).items())),
        "ttft_seconds": round(median(one.reply.ttft_seconds for one in asked), 6),
        "questions": [_entry(one) for one in asked],
    }


def _rival_of(name: str, other: list[Prediction]) -> dict[str, object]:
    """Return how the rival did; nothing where there was none."""
    if not other:
        return {}
    return {"against": {"policy": name, **_shares(other), "answers": [one.reply.text for one in other]}}


def _shares(asked: list[Prediction]) -> dict[str, object]:
    from hermes_lab.evaluation import score

    report = score(asked, num_resamples=1)
    return {
        "accuracy": round(report.overall.accuracy, 6),
        "accuracy_by_kind": {kind: round(own.accuracy, 6) for kind, own in report.by_kind.items()},
        "accuracy_by_group": {group: round(own.accuracy, 6) for group, own in report.by_group.items()},
    }


def _entry(one: Prediction) -> dict[str, object]:
    return {
        "kind": one.question.kind,
        "question": one.question.text,
        "answer": one.reply.text,
        "truth": one.question.answer,
        "is_right": one.is_right,
        "at_seconds": one.at_seconds,
        "delay_seconds": one.question.delay_seconds,
        "ttft_seconds": round(one.reply.ttft_seconds, 6),
        "num_visual_tokens_seen": one.reply.num_visual_tokens_seen,
        "num_visual_tokens_kept": one.reply.num_visual_tokens_kept,
    }
