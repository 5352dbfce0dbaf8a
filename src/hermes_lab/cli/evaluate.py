"""``hermes eval``: annotated videos are watched, their questions asked at their times, the answers scored."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_lab.cli.check_annotations import print_check, print_watches
from hermes_lab.cli.evaluation_options import AnnotationsArgument, ScoringOptions, ViewingOptions
from hermes_lab.cli.evaluation_run import (
    VERDICTS,
    Setup,
    make_setup,
    store_settings,
    watch,
)
from hermes_lab.cli.evaluation_task import Task, read_task, warn_of_gaps
from hermes_lab.cli.grading import check_scoring, grade_answers
from hermes_lab.cli.results import run_scores
from hermes_lab.cli.stopping import goes_on_later
from hermes_stream.cli.opening import check_options, load, open_session, warn_of_unused_budget
from hermes_stream.cli.option_groups import expand_options, typed_options
from hermes_stream.cli.options import JsonOption, MemoryOptions, ModelOptions
from hermes_stream.cli.output import print_json, say, screen, with_schema
from hermes_stream.cli.settings import keeping_line

if TYPE_CHECKING:
    from hermes_lab.evaluation.run_folder import Shard
    from hermes_stream.models import VideoModel

SCORES = "scores.json"

VideosOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Where the videos are.")]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Only read the annotations, and say what they hold.")
]
BudgetBytesOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="The same in bytes of keys and values over all layers.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Store predictions as they come, settings and scores; a run that stopped goes on from here.",
    ),
]
ShardOption = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only this part of the videos, such as 0/4.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is watched, and where answers are kept."""

    videos: VideosOption = None
    budget_bytes: BudgetBytesOption = None
    out: OutOption = None
    shard: ShardOption = None


@expand_options
def evaluate(
    *,
    context: typer.Context,
    annotations: AnnotationsArgument,
    check: CheckOption = False,
    run: RunOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    viewing: ViewingOptions,
    scoring: ScoringOptions,
    json: JsonOption = False,
) -> None:
    """Score a model on annotated videos.

    Each video is streamed once, and each question is answered at its time, from what the memory then holds.
    Accuracy comes with its 95 % interval and with what a guesser who saw nothing would reach. A file of
    standing questions (hermes world --watches) is watched from end to end, and scored by what was told when.
    """
    from hermes_lab.datasets.watch_annotations import is_of_watches

    if check and not is_of_watches(annotations):
        print_check(annotations, run.videos, as_json=json)
        return
    keeps_chunks = "chunk_frames" in typed_options(context)
    if is_of_watches(annotations):
        if check:
            print_watches(annotations, as_json=json)
            return
        _evaluate_watches(
            annotations,
            run,
            model,
            memory,
            viewing=viewing,
            scoring=scoring,
            keeps_chunks=keeps_chunks,
            as_json=json,
        )
        return
    with goes_on_later(run.out, as_json=json):
        _evaluate(
            annotations,
            run,
            model,
            memory,
            viewing=viewing,
            scoring=scoring,
            keeps_chunks=keeps_chunks,
            as_json=json,
        )


def _evaluate_watches(
    annotations: Path,
    run: RunOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    *,
    viewing: ViewingOptions,
    scoring: ScoringOptions,
    keeps_chunks: bool,
    as_json: bool,
) -> None:
    """Refuse what standing questions have no use for, and evaluate them.

    Raises:
        BadParameter: the videos are missing, or an option does not go with standing questions.
    """
    from hermes_lab.cli.watch_evaluation import evaluate_watches

    if run.videos is None:
        raise typer.BadParameter("give the folder of the videos, or --check", param_hint="--videos")
    for option, is_given in (
        ("--shard", run.shard is not None),
        ("--budget-bytes", run.budget_bytes is not None),
        ("--workers", viewing.workers > 1),
        ("--short-answers", viewing.short_answers),
    ):
        if is_given:
            raise typer.BadParameter("standing questions are evaluated without it", param_hint=option)
    evaluate_watches(
        annotations,
        run.videos,
        model,
        memory,
        viewing=viewing,
        scoring=scoring,
        keeps_chunks=keeps_chunks,
        out=run.out,
        as_json=as_json,
    )


def _evaluate(
    annotations: Path,
    run: RunOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    *,
    viewing: ViewingOptions,
    scoring: ScoringOptions,
    keeps_chunks: bool,
    as_json: bool,
) -> None:
    check_options(model, memory)
    check_scoring(scoring)
    shard = _shard_of(run, memory, num_workers=viewing.workers)
    task = read_task(annotations, run.videos or Path(), limit=viewing.limit, shard=shard)
    from hermes_lab.cli.tables import print_run
    from hermes_lab.evaluation.run_files import replace_file
    from hermes_lab.evaluation.run_folder import RunFolder

    began = time.perf_counter()
    folder = None if run.out is None else RunFolder(run.out, shard)
    with nullcontext() if folder is None else folder.writing():
        setup, asked = _set_up(
            task,
            model,
            memory,
            viewing,
            budget_bytes=run.budget_bytes,
            seed=scoring.seed,
            keeps_chunks=keeps_chunks,
        )
        asked |= {"annotations": annotations.name, "limit": viewing.limit}
        if folder is not None:
            store_settings(folder, asked, setup, scoring)
        runs = watch(task, setup, folder, num_workers=viewing.workers, shows_lines=False)
        task.failed |= {one.key.video: one.skipped for one in runs if one.skipped is not None}
        warn_of_gaps(task, runs)
        took_seconds = time.perf_counter() - began
        predictions = [prediction for one in runs for prediction in one.predictions]
        graded, graders = grade_answers(
            scoring, predictions, dialect=task.read.dialect, verdicts_file=run.out and run.out / VERDICTS
        )
        document = {
            **asked,
            "annotations": str(annotations),
            "videos": str(run.videos),
            "seed": scoring.seed,
            **setup.settings,
            **setup.circumstances,
            **task.gaps,
            **graders,
            **run_scores(graded, seed=scoring.seed),
        }
        if run.out is not None and shard is None:
            replace_file(run.out / SCORES, dumps(with_schema(document), indent=1, allow_nan=False) + "\n")
    if as_json:
        print_json(document | {"took_seconds": round(took_seconds, 3)})
    else:
        print_run(screen(), graded, seed=scoring.seed, took_seconds=took_seconds)
        say(keeping_line(asked["policy"], asked["budget_tokens"]))


def _shard_of(run: RunOptions, memory: MemoryOptions, *, num_workers: int) -> Shard | None:
    """Refuse options that do not go together, and return the part of the run that is asked for.

    Raises:
        BadParameter: an option is wrong, or two do not go together.
    """
    from hermes_lab.evaluation.run_folder import Shard

    if run.videos is None:
        raise typer.BadParameter("give the folder of the videos, or --check", param_hint="--videos")
    if run.budget_bytes is not None:
        if memory.budget_tokens is not None:
            raise typer.BadParameter("give a budget in tokens or in bytes", param_hint="--budget-bytes")
        warn_of_unused_budget(memory.policy)
    if num_workers > 1 and (run.out is None or run.shard is not None):
        raise typer.BadParameter(
            "programs that share a run need --out, and no --shard", param_hint="--workers"
        )
    try:
        return None if run.shard is None else Shard.read(run.shard)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from error


def _set_up(
    task: Task,
    options: ModelOptions,
    memory: MemoryOptions,
    viewing: ViewingOptions,
    *,
    budget_bytes: int | None,
    seed: int,
    keeps_chunks: bool,
) -> tuple[Setup, dict[str, Any]]:
    """Load the model; return how its policy watches, and what else may change its answers.

    Where an answer must come unasked a chunk is a second, unless it is said otherwise.
    """
    from hermes_lab.cli.compared_policies import with_seeds

    model = load(options)
    is_watched = any(one.form == "proactive" for episode in task.episodes for one in episode.questions)
    if is_watched and not keeps_chunks:
        memory = replace(
            memory, chunk_frames=model.card.frames_of_a_second(viewing.fps or model.card.default_fps)
        )
    if budget_bytes is not None:
        memory = replace(memory, budget_tokens=_num_tokens(budget_bytes, model, memory))
    session = open_session(memory, model)
    (evaluated,) = with_seeds(memory.policy, session.policy, [seed])
    memory = replace(memory, chunk_frames=session.chunk_frames)
    setup = make_setup(model, [evaluated], task, options=options, memory=memory, viewing=viewing)
    return setup, {
        "annotations_sha256": task.read.digest,
        "dialect": task.read.dialect,
        "policy": memory.policy,
        "budget_tokens": evaluated.policy.budget_tokens,
        "policy_fields": str(evaluated.policy),
    }


def _num_tokens(num_bytes: int, model: VideoModel, memory: MemoryOptions) -> int:
    """Return how many visual tokens a budget in bytes holds.

    Raises:
        BadParameter: not even one.
    """
    layout = model.layout if memory.kv_bits is None else replace(model.layout, kv_bits=8)
    if num_bytes < layout.bytes_per_token:
        raise typer.BadParameter(
            f"{num_bytes} bytes hold no visual token, which takes {layout.bytes_per_token}; give more",
            param_hint="--budget-bytes",
        )
    return num_bytes // layout.bytes_per_token
