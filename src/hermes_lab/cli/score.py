"""``hermes score``: stored responses are scored again, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_lab.cli.judge import JudgeModelOption, JudgeUrlOption, ScorerOption, ScoringWish
from hermes_lab.cli.results import print_report, results
from hermes_stream.cli.options import JsonOption, SeedOption
from hermes_stream.cli.output import complain, print_json, screen
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.evaluation.responses import Joined

PredictionsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="PREDICTIONS...", help="JSONL files of responses, or folders of runs.", show_default=False
    ),
]
AnnotationsOption = Annotated[
    Path, typer.Option("--annotations", metavar="FILE", help="What was asked.", show_default=False)
]
VerdictsOption = Annotated[
    Path | None,
    typer.Option(
        "--verdicts",
        metavar="FILE",
        help="Keep the judge's verdicts here, and ask for none twice.",
        show_default=False,
    ),
]
_SHOWN = 5


def score(
    *,
    predictions: PredictionsArgument,
    annotations: AnnotationsOption,
    scorer: ScorerOption = "strict",
    judge_url: JudgeUrlOption = None,
    judge_model: JudgeModelOption = None,
    verdicts: VerdictsOption = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Score stored responses again, those of any system.

    A line of PREDICTIONS is a JSON object with question_id and response. Several files are one run. A .json
    file is what the code of OVO-Bench or StreamingBench stores.
    """
    wish = ScoringWish(scorer=scorer, judge_url=judge_url, judge_model=judge_model, seed=seed)
    wish.check()
    from hermes_lab.datasets import read_annotations
    from hermes_lab.evaluation.responses import join

    read = read_annotations(annotations)
    joined = join(read.episodes, _lines(predictions))
    _complain_of(joined, predictions)
    marked, scoring = wish.mark(joined.predictions, dialect=read.dialect, verdicts_file=verdicts)
    if json:
        counts = {
            "num_unanswered": len(joined.unanswered),
            "num_unknown": len(joined.unknown),
            "num_repeated": joined.num_repeated,
        }
        asked = {"annotations": str(annotations), "dialect": read.dialect, "seed": seed}
        print_json(asked | scoring | results(marked, seed=seed) | counts)
    else:
        print_report(screen(), marked, seed=seed)


def _lines(paths: list[Path]) -> list[dict[str, object]]:
    """Read all files of responses.

    Raises:
        AnnotationError: a file cannot be read, or a folder holds none.
    """
    from hermes_lab.datasets.response_files import read_responses
    from hermes_lab.evaluation.responses import read_lines
    from hermes_lab.evaluation.run_folder import prediction_files

    found = []
    for path in paths:
        files = prediction_files(path)
        if not files:
            raise AnnotationError(
                f"{path} holds no predictions*.jsonl; give a file of responses or the --out of a run"
            )
        for file in files:
            found += read_responses(file) if file.suffix.lower() == ".json" else read_lines(file)
    return found


def _complain_of(joined: Joined, paths: list[Path]) -> None:
    """Tell of responses and questions that do not meet.

    Raises:
        AnnotationError: none do.
    """
    shown = ", ".join(joined.unknown[:_SHOWN])
    if not joined.predictions:
        wanted = ", ".join(joined.unanswered[:_SHOWN]) or "none, as no question can be asked"
        raise AnnotationError(
            f"no response of {', '.join(map(str, paths))} is to a question of the annotations: responses are "
            f"to {shown or 'nothing'}, questions are called {wanted}; give the annotations that were asked"
        )
    if joined.unknown:
        complain(f"{len(joined.unknown)} responses are to no question: {shown}", kind="warning")
    if joined.unanswered:
        some = ", ".join(joined.unanswered[:_SHOWN])
        complain(f"{len(joined.unanswered)} questions have no response: {some}", kind="warning")
    if joined.num_repeated:
        complain(
            f"{joined.num_repeated} responses are repeated; the last to a question counts", kind="warning"
        )
