"""``hermes demo``: a generated stream is watched, questions are asked at their times and scored."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_stream.cli.describing import memory_of, settings_of
from hermes_stream.cli.opening import SessionWish
from hermes_stream.cli.options import (
    BudgetOption,
    ChunkOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    PolicyOption,
    SeedOption,
)
from hermes_stream.cli.output import doing, print_json, progress_bar, screen

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_stream.cli.episode import Asked, Episode, Score
    from hermes_stream.stream import Session

_NUM_QUESTIONS = 40


def demo(
    *,
    seed: SeedOption = 0,
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="N", min=20, help="Length of the generated stream.")
    ] = 48,
    policy: PolicyOption = "hermes",
    budget_tokens: BudgetOption = None,
    chunk_frames: ChunkOption = 16,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    json: JsonOption = False,
) -> None:
    """Play a generated stream, ask 40 questions at their times, and score the answers.

    Coloured shapes come and go, one at a time; the story follows from the seed. It is written as an H.264
    file and watched from there, as any other video is.
    """
    wish = SessionWish(
        model=model,
        policy=policy,
        budget_tokens=budget_tokens,
        chunk_frames=chunk_frames,
        device=device,
        dtype=dtype,
    )
    wish.check()
    loaded = wish.load_model()
    session = wish.open_session(loaded)
    from hermes_stream.cli.episode import Score, make_episode

    episode = make_episode(
        seed, duration_seconds=seconds, fps=loaded.card.default_fps, num_questions=_NUM_QUESTIONS
    )
    table = None if json else screen()
    began = time.perf_counter()
    asked = _play(session, episode, wish.policy, table)
    took_seconds = time.perf_counter() - began
    score = Score.of(asked)
    if table is None:
        print_json(settings_of(session, wish) | _document(session, episode, asked, score))
        return
    from hermes_stream.cli.scoreboard import print_totals

    print_totals(table, score, session.stats, watched_seconds=seconds, took_seconds=took_seconds)


def _play(session: Session, episode: Episode, policy: str, table: Console | None) -> list[Asked]:
    """Write the story to a file that exists meanwhile, and play it; rows appear as questions are answered."""
    show = _row_printer(session, episode, policy, table)
    asked = []
    with TemporaryDirectory(prefix="hermes-demo-") as folder:
        path = Path(folder) / f"story-{episode.world.seed}.mp4"
        with doing("writing the story as a video"):
            episode.write(path)
        with progress_bar("watching", episode.world.duration_seconds, above=table) as move:
            for one in episode.play(session, path, on_frame=move):
                asked.append(one)
                show(one)
    return asked


def _row_printer(
    session: Session, episode: Episode, policy: str, table: Console | None
) -> Callable[[Asked], None]:
    if table is None:
        return lambda _: None
    from hermes_stream.cli.scoreboard import Scoreboard

    budget = session.policy.budget_tokens
    kept = "all" if budget is None else f"at most {budget}"
    typer.echo(
        f"{session.model.card.name} watches story {episode.world.seed}, {episode.fps:g} frames a second; "
        f"policy {policy} keeps {kept} visual tokens per layer\n"
    )
    scoreboard = Scoreboard(table)
    scoreboard.print_heading()
    return scoreboard.print_row


def _document(session: Session, episode: Episode, asked: list[Asked], score: Score) -> dict[str, object]:
    stats = session.stats
    return {
        "seed": episode.world.seed,
        "fps": episode.fps,
        "duration_seconds": episode.world.duration_seconds,
        **memory_of(session),
        "kept_share": round(stats.num_visual_tokens_kept / stats.num_visual_tokens_seen, 6),
        "num_questions": len(asked),
        "accuracy": round(score.accuracy, 6),
        "accuracy_by_kind": {kind: round(share, 6) for kind, share in score.accuracy_by_kind.items()},
        "num_questions_by_kind": score.num_asked,
        "ttft_seconds": round(score.ttft_seconds, 6),
        "questions": [_entry(one) for one in asked],
    }


def _entry(one: Asked) -> dict[str, object]:
    return {
        "kind": one.question.kind,
        "question": one.question.text,
        "answer": one.answer,
        "truth": one.question.answer,
        "is_right": one.is_right,
        "at_seconds": one.question.asked_seconds,
        "ttft_seconds": round(one.ttft_seconds, 6),
        "ttft_with_pending_seconds": round(one.ttft_with_pending_seconds, 6),
        "num_visual_tokens_seen": one.stats.num_visual_tokens_seen,
        "num_visual_tokens_kept": one.stats.num_visual_tokens_kept,
    }
