"""Which answers of a run are right, by a scorer and perhaps a judge, and which cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hermes_lab.evaluation.judging import Verdict
from hermes_lab.evaluation.runner import Prediction
from hermes_lab.evaluation.scorers import Scorer
from hermes_lab.evaluation.task_averages import averages


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Answers with marks.

    Attributes:
        predictions: those that are right or wrong.
        rights: which of them are right.
        unscored: those that are neither: without a truth, or words that nobody judged.
    """

    predictions: list[Prediction]
    rights: list[bool]
    unscored: list[Prediction]

    @property
    def averages(self) -> dict[str, float]:
        """Every average that benchmarks publish and these kinds allow."""
        by_kind: dict[str, list[bool]] = {}
        for one, is_right in zip(self.predictions, self.rights, strict=True):
            by_kind.setdefault(one.question.kind, []).append(is_right)
        return averages(by_kind)


def is_for_judge(one: Prediction) -> bool:
    """Say whether an answer is open, so that a judge may decide."""
    question = one.question
    return not question.options and question.form == "words" and question.has_truth


def mark(
    predictions: Sequence[Prediction], scorer: Scorer, verdicts: Mapping[str, Verdict] | None = None
) -> Marked:
    """Mark every answer.

    Args:
        predictions: of a run.
        scorer: decides where no judge does.
        verdicts: of the judge, by the names of questions; None where there is none. An answer that it left
            unjudged is unscored.
    """
    marks = [
        verdicts[one.question.question_id].is_right
        if verdicts is not None and one.question.question_id in verdicts
        else scorer(one)
        for one in predictions
    ]
    pairs = list(zip(predictions, marks, strict=True))
    return Marked(
        predictions=[one for one, is_right in pairs if is_right is not None],
        rights=[is_right for _, is_right in pairs if is_right is not None],
        unscored=[one for one, is_right in pairs if is_right is None],
    )
