"""``hermes compare``: many memories watch the same videos, at equal budgets, and are scored alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hermes_lab.cli.comparison_run import COMPARISON, RUNS, Contest, Settings, read_episodes
from hermes_lab.cli.contestants import line_up, reference_among, split_budgets, split_policies
from hermes_lab.cli.evaluate import AnnotationsArgument, LimitOption, ShortAnswersOption
from hermes_lab.cli.folder import make_folder, write_document
from hermes_stream.cli.opening import check_options
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    ChunkOption,
    FpsOption,
    JsonOption,
    MemoryOptions,
    ModelOptions,
)
from hermes_stream.cli.output import print_json, screen

VideosOption = Annotated[
    Path, typer.Option("--videos", metavar="DIR", help="Where the videos are.", show_default=False)
]
PoliciesOption = Annotated[
    list[str],
    typer.Option(
        "--policies",
        "--policy",
        metavar="A,B",
        help="Memories, separated by commas or semicolons, fields as in hermes:summarize=false.",
        show_default=False,
    ),
]
BudgetsOption = Annotated[
    str | None,
    typer.Option(
        "--budgets",
        metavar="N,M",
        help="Visual tokens that each layer keeps, for every policy; default: what the model suggests.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Folder to write, or to go on in.", show_default=False),
]
SeedsOption = Annotated[
    int, typer.Option("--seeds", metavar="K", min=1, help="How often policies that draw are drawn.")
]
FirstSeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="The first of these seeds, and that of intervals.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="NAME",
        help="The policy that others are compared with; default: hermes, else the first.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, help="Programs that watch videos at the same time.")
]
PlotsOption = Annotated[bool, typer.Option("--plots/--no-plots", help="Draw figures, with matplotlib.")]


@expand_options
def compare(  # noqa: PLR0913 - one parameter per option
    *,
    annotations: AnnotationsArgument,
    videos: VideosOption,
    policies: PoliciesOption,
    out: OutOption,
    budgets: BudgetsOption = None,
    seeds: SeedsOption = 1,
    reference: ReferenceOption = None,
    model: ModelOptions,
    fps: FpsOption = None,
    chunk_frames: ChunkOption = 16,
    seed: FirstSeedOption = 0,
    limit: LimitOption = None,
    short_answers: ShortAnswersOption = False,
    workers: WorkersOption = 1,
    plots: PlotsOption = True,
    json: JsonOption = False,
) -> None:
    """Compare memories on annotated videos, at equal budgets.

    Every video is decoded once, and every memory sees the same frames and answers the same questions. What is
    asked of the present, of the past and of counts stands apart; differences to one memory are paired, and
    their 95 % intervals draw whole videos.

    A comparison that was stopped goes on with the same --out; policies, budgets and videos may be added.
    """
    names, sizes = split_policies(policies), split_budgets(budgets)
    settings = Settings(
        names=names,
        budgets=sizes,
        num_seeds=seeds,
        seed=seed,
        fps=fps,
        chunk_frames=chunk_frames,
        short_answers=short_answers,
        reference=reference_among(names, reference),
    )
    check_options(model, MemoryOptions())
    line_up(names, sizes or [1], num_seeds=1, first_seed=seed)
    episodes, files = read_episodes(annotations, videos, limit)
    make_folder(out, plots=plots, file=RUNS)
    contest = Contest(model, episodes, files, settings)
    contest.watch(out, num_workers=workers)
    document = contest.document(annotations=annotations.name, videos=videos.resolve().name)
    _conclude(contest, document, out, plots=plots, as_json=json)


def _conclude(
    contest: Contest, document: Mapping[str, Any], out: Path, *, plots: bool, as_json: bool
) -> None:
    """Write what was found, and print it."""
    num_figures = write_document(document, out / COMPARISON, figures="comparison_plots" if plots else None)
    if as_json:
        print_json(document)
        return
    contest.print(screen())
    typer.echo(f"\n{COMPARISON} and {num_figures} figures in {out}")
