"""The options that commands of evaluation share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hermes_stream.cli.options import FpsOption

AnnotationsArgument = Annotated[
    Path, typer.Argument(help="A file of questions as its benchmark publishes it, or a folder of some.")
]
LimitOption = Annotated[int | None, typer.Option(metavar="N", min=1, help="The first N videos only.")]
ShortAnswersOption = Annotated[
    bool, typer.Option("--short-answers", help="Show no options; the words must be the truth.")
]
WorkersOption = Annotated[
    int, typer.Option(metavar="N", min=1, help="Share the videos among N programs, and their GPUs.")
]
ScorerOption = Annotated[
    str, typer.Option(metavar="NAME", help="strict, or official: as the benchmark's own code.")
]
JudgeUrlOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="OpenAI-compatible endpoint that judges open answers; its key is in HERMES_JUDGE_API_KEY.",
    ),
]
JudgeModelOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The judge's name at its endpoint.")
]
ScoringSeedOption = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Seed of intervals, and the first of policies that draw at random."
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewingOptions:
    """How videos are watched."""

    fps: FpsOption = None
    limit: LimitOption = None
    short_answers: ShortAnswersOption = False
    workers: WorkersOption = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """How answers are scored."""

    scorer: ScorerOption = "strict"
    judge_url: JudgeUrlOption = None
    judge_model: JudgeModelOption = None
    seed: ScoringSeedOption = 0
