"""``hermes compare``: many policies watch the same videos, at equal budgets, and are scored alike."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_lab.cli.compared_policies import (
    compared_policies,
    reference_among,
    split_budgets,
    split_policies,
)
from hermes_lab.cli.evaluation_options import AnnotationsArgument, ScoringOptions, ViewingOptions
from hermes_lab.cli.evaluation_run import (
    VERDICTS,
    Setup,
    make_setup,
    store_settings,
    watch,
)
from hermes_lab.cli.evaluation_task import Task, read_task, warn_of_gaps
from hermes_lab.cli.folder import can_draw, make_folder, write_document
from hermes_lab.cli.grading import check_scoring, grade_answers
from hermes_lab.cli.results import policy_scores
from hermes_lab.cli.stopping import goes_on_later
from hermes_stream.cli.opening import check_options, load
from hermes_stream.cli.option_groups import arguments_of, expand_options
from hermes_stream.cli.options import ChunkOption, JsonOption, MemoryOptions, ModelOptions
from hermes_stream.cli.output import print_json, say, screen
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.evaluation import Graded, Prediction, Run
    from hermes_lab.evaluation.comparison_scores import PolicyScores, SkippedPolicy

COMPARISON = "comparison.json"

VideosOption = Annotated[Path, typer.Option(metavar="DIR", help="Where the videos are.")]
PoliciesOption = Annotated[
    list[str],
    typer.Option(
        "--policies",
        "--policy",
        metavar="A,B",
        help="Memories, separated by commas or semicolons, fields as in hermes:summarize=false.",
    ),
]
BudgetsOption = Annotated[
    str | None,
    typer.Option(
        metavar="N,M",
        help="Visual tokens that each layer keeps, for every policy; default: what the model suggests.",
    ),
]
OutOption = Annotated[Path, typer.Option(metavar="DIR", help="Folder to write, or to go on in.")]
SeedsOption = Annotated[int, typer.Option(metavar="K", min=1, help="How often policies that draw are drawn.")]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The policy that others are compared with; default: hermes, else the first."
    ),
]
PlotsOption = Annotated[bool, typer.Option("--plots/--no-plots", help="Draw figures, with matplotlib.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """How policies are compared."""

    budgets: BudgetsOption = None
    seeds: SeedsOption = 1
    reference: ReferenceOption = None
    chunk_frames: ChunkOption = 16
    plots: PlotsOption = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        policies: as words.
        budgets: in tokens; empty takes what the model suggests.
        num_seeds: how often policies that draw are drawn.
        reference: the policy that others are compared with.
        model: which model.
        memory: how frames enter memories.
        viewing: how videos are watched.
        scoring: how answers are scored.
    """

    policies: Sequence[str]
    budgets: Sequence[int]
    num_seeds: int
    reference: str
    model: ModelOptions
    memory: MemoryOptions
    viewing: ViewingOptions
    scoring: ScoringOptions


@expand_options
def compare(
    *,
    annotations: AnnotationsArgument,
    videos: VideosOption,
    policies: PoliciesOption,
    out: OutOption,
    comparison: ComparisonOptions,
    model: ModelOptions,
    viewing: ViewingOptions,
    scoring: ScoringOptions,
    json: JsonOption = False,
) -> None:
    """Compare memories on annotated videos, at equal budgets.

    Every video is decoded once, and every memory sees the same frames and answers the same questions. What is
    asked of the present, of the past and of counts stands apart; differences to one memory are paired, and
    their 95 % intervals draw whole videos.

    A comparison that was stopped goes on with the same --out; policies, budgets and videos may be added.
    """
    names, sizes = split_policies(policies), split_budgets(comparison.budgets)
    asked = Comparison(
        policies=names,
        budgets=sizes,
        num_seeds=comparison.seeds,
        reference=reference_among(names, comparison.reference),
        model=model,
        memory=MemoryOptions(chunk_frames=comparison.chunk_frames),
        viewing=viewing,
        scoring=scoring,
    )
    with goes_on_later(out, as_json=json):
        _compare(asked, annotations, videos, out, plots=comparison.plots, as_json=json)


def _compare(
    asked: Comparison, annotations: Path, videos: Path, out: Path, *, plots: bool, as_json: bool
) -> None:
    check_options(asked.model, asked.memory)
    check_scoring(asked.scoring)
    first_seed = asked.scoring.seed
    compared_policies(asked.policies, asked.budgets or [1], num_seeds=1, first_seed=first_seed)
    task = read_task(annotations, videos, limit=asked.viewing.limit)
    make_folder(out)
    figures = "comparison_plots" if plots and can_draw() else None
    from hermes_lab.cli.tables import print_comparison
    from hermes_lab.evaluation.comparison_scores import skipped_policies
    from hermes_lab.evaluation.run_folder import RunFolder

    folder = RunFolder(out)
    with folder.writing():
        asked, setup, facts = _set_up(asked, task)
        store_settings(folder, {}, setup, asked.scoring)
        runs = watch(task, setup, folder, num_workers=asked.viewing.workers, shows_lines=True)
        warn_of_gaps(task, runs)
        skipped, scores = skipped_policies(runs), _scores(asked, task, runs, verdicts_file=out / VERDICTS)
        manifest = {
            "command": _command(asked, annotations=annotations.name, videos=videos.resolve().name),
            **facts,
            **_extent(task, runs),
            **setup.circumstances,
        }
        document = {"manifest": manifest, **_results(asked, task, scores, skipped)}
        num_figures = write_document(document, out / COMPARISON, figures=figures)
    if as_json:
        print_json(document)
        return
    print_comparison(screen(), scores, skipped, reference=asked.reference)
    say(f"\n{COMPARISON} and {num_figures} figures in {out}")


def _results(
    asked: Comparison, task: Task, scores: Sequence[PolicyScores], skipped: Sequence[SkippedPolicy]
) -> dict[str, Any]:
    return {
        "scorer": asked.scoring.scorer,
        "judge": asked.scoring.judge_model,
        "reference": asked.reference,
        "scores": [policy_scores(one) for one in scores],
        "skipped": [asdict(one) for one in skipped],
        "left_out": task.missing | task.failed,
    }


def _set_up(asked: Comparison, task: Task) -> tuple[Comparison, Setup, dict[str, Any]]:
    """Load the model; return the comparison with defaults filled in, how it is watched, and its manifest."""
    model = load(asked.model)
    budgets = asked.budgets or [model.card.default_budget_tokens]
    first_seed = asked.scoring.seed
    setup = make_setup(
        model,
        compared_policies(asked.policies, budgets, num_seeds=asked.num_seeds, first_seed=first_seed),
        task,
        options=asked.model,
        memory=asked.memory,
        viewing=asked.viewing,
    )
    viewing = replace(asked.viewing, fps=setup.settings["fps"])
    return (
        replace(asked, budgets=budgets, viewing=viewing),
        setup,
        {
            **setup.settings,
            "model": Path(asked.model.model).name,
            "max_positions": model.layout.max_positions,
            "training_frames": model.card.training_frames,
            "budgets": list(budgets),
            "num_seeds": asked.num_seeds,
            "seed": first_seed,
        },
    )


def _scores(asked: Comparison, task: Task, runs: Sequence[Run], *, verdicts_file: Path) -> list[PolicyScores]:
    """Grade and compare.

    Raises:
        AnnotationError: no question can be graded for all policies.
    """
    from hermes_lab.evaluation.comparison_scores import compare_scores

    def grader(predictions: Sequence[Prediction]) -> Graded:
        dialect = task.read.dialect
        return grade_answers(asked.scoring, predictions, dialect=dialect, verdicts_file=verdicts_file)[0]

    scores = compare_scores(
        task.watched, runs, reference=asked.reference, grader=grader, seed=asked.scoring.seed
    )
    if not scores and any(run.skipped is None for run in runs):
        raise AnnotationError(
            "no answer can be scored: questions are open, or have no truth; give --scorer strict, or a judge"
        )
    return scores


def _command(asked: Comparison, *, annotations: str, videos: str) -> str:
    """Write the command as it may be given again, without this machine's folders."""
    words = ["hermes", "compare", annotations, "--videos", videos, "--policies", ";".join(asked.policies)]
    words += ["--budgets", ",".join(map(str, asked.budgets)), "--seeds", str(asked.num_seeds)]
    words += ["--reference", asked.reference]
    words += arguments_of(
        replace(asked.model, model=Path(asked.model.model).name, device="auto", threads=None),
        asked.memory,
        replace(asked.viewing, workers=1),
        replace(asked.scoring, judge_url=None, judge_model=None),
    )
    return shlex.join([*words, "--out", "DIR"])


def _extent(task: Task, runs: Sequence[Run]) -> dict[str, Any]:
    """Return how much was watched and asked."""
    episodes, replies = task.watched, [one.reply for run in runs for one in run.predictions]
    last = [max(one.asked_seconds for one in episode.questions) for episode in episodes]
    watched = {run.key.video: run.predictions for run in runs if run.skipped is None}
    return {
        "num_videos": len(episodes),
        "num_questions": sum(len(episode.questions) for episode in episodes),
        "num_questions_past_end": sum(one.is_past_end for own in watched.values() for one in own),
        "longest_seconds": max((seconds for seconds in last if seconds < math.inf), default=None),
        "num_frames": sum(max(one.reply.num_frames for one in own) for own in watched.values()),
        "max_visual_tokens_seen": max((one.num_visual_tokens_seen for one in replies), default=0),
    }
