from __future__ import annotations

import sys

import numpy as np

from hermes_lab.bench.generated_frames import make_footage


def test_pictures_are_decoded_and_go_on_without_end():
    footage = make_footage(seed=0, size=64, fps=2.0)
    assert footage.decode_seconds > 0
    frames = footage.frames(len(footage.images) - 1, 3)
    assert [frame.pts_seconds for frame in frames] == [31.5, 32.0, 32.5]
    assert frames[1].image is footage.images[0]
    assert {image.shape for image in footage.images} == {(64, 64, 3)}
    assert all((a != b).any() for a, b in zip(footage.images, footage.images[1:], strict=False))


def test_without_pyav_nothing_is_decoded(monkeypatch):
    decoded = make_footage(seed=3, size=224, fps=1.0)
    monkeypatch.setitem(sys.modules, "av", None)
    made = make_footage(seed=3, size=224, fps=1.0)
    assert made.decode_seconds is None
    assert len(made.images) == len(decoded.images)
    difference = np.abs(made.images[5].astype(int) - decoded.images[5].astype(int)).mean()
    assert difference < 12  # the same pictures, but for H.264
