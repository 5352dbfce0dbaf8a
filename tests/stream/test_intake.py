"""The rim of a stream: which frames are due."""

from __future__ import annotations

import numpy as np
import pytest

from hermes_stream import Frame
from hermes_stream.stream.intake import Intake

IMAGE = np.zeros((8, 8, 3), np.uint8)


def accepted(fps: float | None, *seconds: float) -> list[float]:
    intake = Intake(fps)
    for at in seconds:
        intake.accept(Frame(pts_seconds=at, image=IMAGE))
    return [frame.pts_seconds for frame in intake.waiting]


def test_without_a_rate_every_frame_is_due():
    assert accepted(None, 0.0, 0.01, 0.02) == [0.0, 0.01, 0.02]


def test_a_frame_up_to_a_tenth_of_an_interval_early_is_due():
    assert accepted(1.0, 5.0, 5.89, 6.8, 6.95) == [5.0, 6.8, 6.95]
    assert accepted(1.0, 5.0, 5.91, 6.89, 6.91) == [5.0, 5.91, 6.91]
    assert accepted(2.0, 0.0, 0.44, 0.451, 0.96) == [0.0, 0.451, 0.96]


def test_an_interval_without_a_frame_is_not_made_up_for():
    assert accepted(1.0, 0.0, 5.2, 5.6, 6.0, 6.5) == [0.0, 5.2, 6.0]


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(fps):
    with pytest.raises(ValueError, match="fps must be a positive number"):
        Intake(fps)
