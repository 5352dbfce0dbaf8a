"""What a checkpoint says about itself."""

from dataclasses import replace

import pytest

from hermes_stream import load_model

CARD = load_model("tiny").card


@pytest.mark.parametrize(
    ("frames_per_patch", "fps", "frames"),
    [(1, 1, 1), (1, 0.2, 1), (1, 2.4, 2), (1, 30, 30), (2, 1, 2), (2, 2, 2), (2, 3, 4), (2, 25, 26)],
)
def test_a_second_takes_whole_temporal_patches(frames_per_patch, fps, frames):
    card = replace(CARD, frames_per_temporal_patch=frames_per_patch)
    assert card.frames_of_a_second(fps) == frames
