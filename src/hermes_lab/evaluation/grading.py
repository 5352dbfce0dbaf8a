"""Which answers of a run are right, by a scorer and perhaps a judge, and which cannot be graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_lab.evaluation.judging import Verdict
from hermes_lab.evaluation.predictions import Prediction
from hermes_lab.evaluation.scorers import Scorer
from hermes_lab.evaluation.task_averages import averages


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Answers with grades.

    Attributes:
        predictions: all answers.
        grades: which of them are right; None without a truth, and for an open answer that is not judged.
    """

    predictions: Sequence[Prediction]
    grades: Sequence[bool | None]

    @property
    def scored(self) -> list[Prediction]:
        """Those that are right or wrong."""
        pairs = zip(self.predictions, self.grades, strict=True)
        return [one for one, grade in pairs if grade is not None]

    @property
    def rights(self) -> list[bool]:
        """Which of the scored ones are right."""
        return [grade for grade in self.grades if grade is not None]

    @property
    def unscored(self) -> list[Prediction]:
        """Those that are neither right nor wrong."""
        return [one for one, grade in zip(self.predictions, self.grades, strict=True) if grade is None]

    @property
    def averages(self) -> dict[str, float]:
        """Every average that benchmarks publish and these kinds allow."""
        by_kind: dict[str, list[bool]] = {}
        for one, is_right in zip(self.scored, self.rights, strict=True):
            by_kind.setdefault(one.question.kind, []).append(is_right)
        return averages(by_kind)


def is_for_judge(one: Prediction) -> bool:
    """Say whether an answer is open, so that a judge may decide."""
    question = one.question
    return not question.options and question.form == "words" and question.has_truth


def grade(
    predictions: Sequence[Prediction], scorer: Scorer, verdicts: Mapping[str, Verdict] | None = None
) -> Graded:
    """Grade every answer.

    Args:
        predictions: of one run.
        scorer: decides where no judge does.
        verdicts: of the judge, by the names of questions; None without a judge. An answer that it left
            unjudged is unscored.
    """
    grades = [
        verdicts[one.question.question_id].is_right
        if verdicts is not None and one.question.question_id in verdicts
        else scorer(one)
        for one in predictions
    ]
    return Graded(predictions=predictions, grades=grades)
