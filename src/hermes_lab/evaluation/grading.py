"""Which answers of a run are right, by a scorer and perhaps a judge, and which cannot be graded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hermes_lab.evaluation.judging import Verdict
from hermes_lab.evaluation.predictions import Prediction
from hermes_lab.evaluation.scorers import Scorer, has_output, is_in_time
from hermes_lab.evaluation.task_averages import averages


@dataclass(frozen=True, slots=True, kw_only=True)
class ProactiveCounts:
    """What StreamingBench reports of proactive answers, time and output apart.

    Attributes:
        num_questions: how many were asked.
        num_in_time: answers that came near enough to the right moment.
        num_right_output: answers that hold what was to be put out.
    """

    num_questions: int
    num_in_time: int
    num_right_output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Answers with grades.

    Attributes:
        predictions: all answers.
        grades: which of them are right; None without a truth, and for an open answer that is not judged.
        unreadable: those of which nobody can tell what they say; they are wrong.
    """

    predictions: Sequence[Prediction]
    grades: Sequence[bool | None]
    unreadable: Sequence[Prediction] = ()

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
    def proactive(self) -> ProactiveCounts | None:
        """How many proactive answers came in time, and how many were right; None if there are none."""
        asked = [one for one in self.predictions if one.question.form == "proactive"]
        if not asked:
            return None
        readable = [one for one in asked if one.reply.is_readable]
        return ProactiveCounts(
            num_questions=len(asked),
            num_in_time=sum(map(is_in_time, readable)),
            num_right_output=sum(map(has_output, readable)),
        )

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
    predictions: Sequence[Prediction],
    scorer: Scorer,
    verdicts: Mapping[str, Verdict] | None = None,
    *,
    can_read: Callable[[Prediction], bool] = lambda one: one.reply.is_readable,
) -> Graded:
    """Grade every answer.

    Args:
        predictions: of one run.
        scorer: decides where no judge does.
        verdicts: of the judge, by the names of questions; None without a judge. An answer that it left
            unjudged is unscored.
        can_read: says whether the scorer can tell what a response says.
    """
    grades = [
        verdicts[one.question.question_id].is_right
        if verdicts is not None and one.question.question_id in verdicts
        else scorer(one)
        for one in predictions
    ]
    unreadable = [one for one in predictions if not can_read(one)]
    return Graded(predictions=predictions, grades=grades, unreadable=unreadable)
