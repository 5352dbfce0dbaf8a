"""``hermes score``: stored responses are scored again, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hermes_lab.cli.evaluation_options import ScoringOptions
from hermes_lab.cli.evaluation_task import warn_of_files
from hermes_lab.cli.grading import check_scoring, grade_answers
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import complain, print_json, screen
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.evaluation.responses import Joined

PredictionsArgument = Annotated[
    list[Path], typer.Argument(metavar="PREDICTIONS...", help="JSONL files of responses, or folders of runs.")
]
AnnotationsOption = Annotated[Path, typer.Option(metavar="FILE", help="What was asked.")]
VerdictsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep the judge's verdicts here, and ask for none twice.")
]
_SHOWN = 5


@expand_options
def score(
    *,
    predictions: PredictionsArgument,
    annotations: AnnotationsOption,
    scoring: ScoringOptions,
    verdicts: VerdictsOption = None,
    json: JsonOption = False,
) -> None:
    """Score stored responses again, those of any system.

    A line of PREDICTIONS is a JSON object with question_id and response. Several files are one run. A .json
    file is what the code of OVO-Bench or StreamingBench stores.
    """
    check_scoring(scoring)
    from hermes_lab.cli.results import run_scores
    from hermes_lab.cli.tables import print_run
    from hermes_lab.datasets import read_annotations
    from hermes_lab.evaluation.responses import join

    read = read_annotations(annotations)
    warn_of_files(read)
    joined = join(read.episodes, _lines(predictions))
    _warn_of_gaps(joined, predictions)
    graded, graders = grade_answers(scoring, joined.predictions, dialect=read.dialect, verdicts_file=verdicts)
    if not json:
        print_run(screen(), graded, seed=scoring.seed)
        return
    counts = {
        "num_unanswered": len(joined.unanswered),
        "num_unknown": len(joined.unknown),
        "num_repeated": joined.num_repeated,
    }
    asked = {"annotations": str(annotations), "dialect": read.dialect, "seed": scoring.seed}
    print_json(asked | graders | run_scores(graded, seed=scoring.seed) | counts)


def _lines(paths: list[Path]) -> list[dict[str, object]]:
    """Read all files of responses.

    Raises:
        AnnotationError: a file cannot be read, a folder holds none, or the answers are of several policies.
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
    given = {
        str((one["policy"], one.get("budget_tokens"), one.get("seed"))) for one in found if "policy" in one
    }
    if len(given) > 1:
        raise AnnotationError(
            f"{', '.join(map(str, paths))}: the answers are of {len(given)} policies, budgets or seeds; "
            "give those of one, or start 'hermes compare' again with the same --out"
        )
    return found


def _warn_of_gaps(joined: Joined, paths: list[Path]) -> None:
    """Warn of responses without a question, and of questions without a response.

    Raises:
        AnnotationError: no response is to a question.
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
