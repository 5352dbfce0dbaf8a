"""A judge of open answers on the command line, for every command that scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.output import complain, progress_bar

if TYPE_CHECKING:
    from hermes_lab.evaluation import Marked, Prediction
    from hermes_lab.evaluation.judging import Verdict

ScorerOption = Annotated[
    str, typer.Option("--scorer", metavar="NAME", help="strict, or official: as the benchmark's own code.")
]
JudgeUrlOption = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        metavar="URL",
        help="OpenAI-compatible endpoint that judges open answers; its key is in HERMES_JUDGE_API_KEY.",
        show_default=False,
    ),
]
JudgeModelOption = Annotated[
    str | None,
    typer.Option(
        "--judge-model", metavar="NAME", help="The judge's name at its endpoint.", show_default=False
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringWish:
    """How a user wants answers scored; the fields are the options of the same names."""

    scorer: str
    judge_url: str | None
    judge_model: str | None
    seed: int

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            BadParameter: there is no such scorer, or half of a judge.
            JudgeError: its address is none.
        """
        from hermes_lab.evaluation.judging import Judge
        from hermes_lab.evaluation.scorers import SCORERS

        if self.scorer not in SCORERS:
            raise typer.BadParameter(
                f"{self.scorer!r} is none of {', '.join(SCORERS)}", param_hint="--scorer"
            )
        if (self.judge_url is None) != (self.judge_model is None):
            raise typer.BadParameter(
                "a judge needs both its address and its name; give --judge-url and --judge-model, or neither",
                param_hint="--judge-model" if self.judge_model is None else "--judge-url",
            )
        if self.judge_url is not None:
            Judge(self.judge_url, model=self.judge_model or "")

    def mark(
        self, predictions: Sequence[Prediction], *, dialect: str, verdicts_file: Path | None
    ) -> tuple[Marked, dict[str, Any]]:
        """Mark all answers, and return what the judge said on the whole.

        Args:
            predictions: of a run.
            dialect: of the annotations.
            verdicts_file: where verdicts are kept; None keeps none.
        """
        from hermes_lab.evaluation.grading import is_for_judge, mark
        from hermes_lab.evaluation.scorers import scorer

        verdicts: dict[str, Verdict] | None = None
        if self.judge_url is not None:
            opened = [one for one in predictions if is_for_judge(one)]
            names = [one.question.question_id for one in opened]
            verdicts = dict(zip(names, self._judged(opened, verdicts_file), strict=True))
        marked = mark(predictions, scorer(self.scorer, dialect=dialect), verdicts)
        return marked, {"scorer": self.scorer, "judge": self._summary(verdicts)}

    def _judged(self, opened: Sequence[Prediction], verdicts_file: Path | None) -> list[Verdict]:
        from hermes_lab.evaluation.judging import KEY_VARIABLE, Judge, Verdicts

        key = os.environ.get(KEY_VARIABLE, "")
        judge = Judge(self.judge_url or "", model=self.judge_model or "", key=key)
        with progress_bar("judging", len(opened)) as move:
            return Verdicts(verdicts_file).judged(judge, opened, on_progress=move)

    def _summary(self, verdicts: dict[str, Verdict] | None) -> dict[str, Any] | None:
        if verdicts is None:
            return None
        given = [one for one in verdicts.values() if one.is_right is not None]
        problems = [one.problem for one in verdicts.values() if one.problem]
        if problems:
            complain(
                f"{len(problems)} of {len(verdicts)} answers are unjudged: {problems[0]}", kind="warning"
            )
        return {
            "model": self.judge_model,
            "num_judged": len(given),
            "num_unjudged": len(problems),
            "accuracy": round(fmean(bool(one.is_right) for one in given), 6) if given else None,
            "mean_score": round(fmean(one.score or 0.0 for one in given), 6) if given else None,
        }
