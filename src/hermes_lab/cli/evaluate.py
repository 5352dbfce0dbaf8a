"""``hermes eval``: annotated videos are watched, their questions asked at their times, the answers scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hermes_lab.cli.judge import JudgeModelOption, JudgeUrlOption, ScorerOption
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    FpsOption,
    JsonOption,
    MemoryOptions,
    ModelOptions,
    SeedOption,
)

AnnotationsArgument = Annotated[
    Path,
    typer.Argument(
        help="A file of questions as its benchmark publishes it, or a folder of some.", show_default=False
    ),
]
VideosOption = Annotated[
    Path | None, typer.Option("--videos", metavar="DIR", help="Where the videos are.", show_default=False)
]
CheckOption = Annotated[bool, typer.Option("--check", help="Only read the annotations, and tell of them.")]
BudgetBytesOption = Annotated[
    int | None,
    typer.Option(
        "--budget-bytes",
        metavar="N",
        min=1,
        help="The same in bytes of keys and values over all layers.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="The first N videos only.", show_default=False),
]
ShortAnswersOption = Annotated[
    bool, typer.Option("--short-answers", help="Show no options; the words must be the truth.")
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Store predictions as they come, settings and scores; a run that stopped goes on from here.",
        show_default=False,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Only this part of the videos, such as 0/4.", show_default=False
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", metavar="N", min=1, help="Share the videos among N programs, and their GPUs."),
]


@expand_options
def evaluate(  # noqa: PLR0913 - one parameter per option
    *,
    annotations: AnnotationsArgument,
    videos: VideosOption = None,
    check: CheckOption = False,
    model: ModelOptions,
    memory: MemoryOptions,
    budget_bytes: BudgetBytesOption = None,
    fps: FpsOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    short_answers: ShortAnswersOption = False,
    out: OutOption = None,
    shard: ShardOption = None,
    workers: WorkersOption = 1,
    scorer: ScorerOption = "strict",
    judge_url: JudgeUrlOption = None,
    judge_model: JudgeModelOption = None,
    json: JsonOption = False,
) -> None:
    """Score a model on annotated videos.

    Each video is streamed once, and each question is answered at its time, from what the memory then holds.
    Accuracy comes with its 95 % interval and with what a guesser who saw nothing would reach.
    """
    given = dict(locals())
    if given.pop("check"):
        from hermes_lab.cli.check_annotations import print_check

        print_check(annotations, videos, as_json=json)
        return
    from hermes_lab.cli.eval_run import EvalWish, run_eval

    run_eval(EvalWish(**given))
