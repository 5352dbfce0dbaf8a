"""Grading on the command line, by a scorer and perhaps a judge, for every command that scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer

from hermes_lab.cli.evaluation_options import ScoringOptions
from hermes_stream.cli.output import complain, progress_bar

if TYPE_CHECKING:
    from hermes_lab.evaluation import Graded, Prediction
    from hermes_lab.evaluation.judging import Verdict

_SHOWN = 3
_SHOWN_LETTERS = 40


def check_scoring(options: ScoringOptions) -> None:
    """Refuse a scorer that does not exist, and a judge that cannot be asked.

    Raises:
        BadParameter: there is no such scorer, or the judge's address or name is missing.
        JudgeError: the judge's address is no web address.
    """
    from hermes_lab.evaluation.judging import Judge
    from hermes_lab.evaluation.scorers import SCORERS

    if options.scorer not in SCORERS:
        raise typer.BadParameter(f"{options.scorer!r} is none of {', '.join(SCORERS)}", param_hint="--scorer")
    if (options.judge_url is None) != (options.judge_model is None):
        raise typer.BadParameter(
            "a judge needs both its address and its name; give --judge-url and --judge-model, or neither",
            param_hint="--judge-model" if options.judge_model is None else "--judge-url",
        )
    if options.judge_url is not None:
        Judge(options.judge_url, model=options.judge_model or "")


def grade_answers(
    options: ScoringOptions,
    predictions: Sequence[Prediction],
    *,
    dialect: str,
    verdicts_file: Path | None,
) -> tuple[Graded, dict[str, Any]]:
    """Grade all answers, and return with them what JSON says of the scorer and the judge.

    Args:
        options: how answers are scored.
        predictions: of one run.
        dialect: of the annotations.
        verdicts_file: where verdicts are kept; None keeps none.
    """
    from hermes_lab.evaluation.grading import grade, is_for_judge
    from hermes_lab.evaluation.scorers import reader, scorer

    verdicts: dict[str, Verdict] | None = None
    if options.judge_url is not None:
        opened = [one for one in predictions if is_for_judge(one)]
        names = [one.question.question_id for one in opened]
        verdicts = dict(zip(names, _judged(options, opened, verdicts_file), strict=True))
    rule, can_read = scorer(options.scorer, dialect=dialect), reader(options.scorer)
    graded = grade(predictions, rule, verdicts, can_read=can_read)
    _warn_of_unreadable(graded)
    return graded, {"scorer": options.scorer, "judge": _summary(options.judge_model, verdicts)}


def _warn_of_unreadable(graded: Graded) -> None:
    if not graded.unreadable:
        return
    shown = ", ".join(
        f"{one.question.question_id} ({one.reply.text[:_SHOWN_LETTERS]!r})"
        if one.reply.is_readable
        else f"{one.question.question_id} (in no known form)"
        for one in graded.unreadable[:_SHOWN]
    )
    complain(
        f"{len(graded.unreadable)} of {len(graded.predictions)} responses cannot be read and count as wrong, "
        f"such as {shown}",
        kind="warning",
    )


def _judged(
    options: ScoringOptions, opened: Sequence[Prediction], verdicts_file: Path | None
) -> list[Verdict]:
    from hermes_lab.evaluation.judging import KEY_VARIABLE, Judge, Verdicts

    key = os.environ.get(KEY_VARIABLE, "")
    judge = Judge(options.judge_url or "", model=options.judge_model or "", key=key)
    with progress_bar("judging", len(opened)) as move:
        return Verdicts(verdicts_file).judged(judge, opened, on_progress=move)


def _summary(judge: str | None, verdicts: dict[str, Verdict] | None) -> dict[str, Any] | None:
    if verdicts is None:
        return None
    judged = [one for one in verdicts.values() if one.is_right is not None]
    problems = [one.problem for one in verdicts.values() if one.problem]
    if problems:
        complain(f"{len(problems)} of {len(verdicts)} answers are unjudged: {problems[0]}", kind="warning")
    return {
        "model": judge,
        "num_judged": len(judged),
        "num_unjudged": len(problems),
        "accuracy": round(fmean(bool(one.is_right) for one in judged), 6) if judged else None,
        "mean_score": round(fmean(one.score or 0.0 for one in judged), 6) if judged else None,
    }
