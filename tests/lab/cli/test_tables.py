from __future__ import annotations

import pytest

from hermes_lab.cli.tables import _AVERAGES, _interval, _points
from hermes_lab.datasets.task_groups import OVO_TASKS
from hermes_lab.evaluation.bootstrap import Estimate
from hermes_lab.evaluation.scoring import Score
from hermes_lab.evaluation.task_averages import averages


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [(0.5, 0.75, "50.0% to 75.0%"), (1.0, 1.0, "too few"), (None, None, "one video")],
)
def test_an_interval_is_one(low, high, written):
    assert _interval(Score(accuracy=1.0, low=low, high=high, chance=0.25, num_questions=9)) == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [(-0.1, 0.2, "+5.0 (-10.0 +20.0)"), (0.05, 0.05, "+5.0 (too few)"), (None, None, "+5.0 (one video)")],
)
def test_a_difference_has_one_too(low, high, written):
    difference = Estimate(value=0.05, low=low, high=high)
    score = Score(accuracy=1, low=1, high=1, chance=0, num_questions=9, difference=difference)
    assert _points(score).plain == written


def test_every_average_is_explained():
    tasks = [task for own in OVO_TASKS.values() for task in own]
    assert averages({task: [1.0] for task in tasks}).keys() == _AVERAGES.keys()
