from __future__ import annotations

import numpy as np
import pytest
from tests.video.clips import encode, greys


@pytest.fixture
def clip(tmp_path):
    """Two seconds at 10 fps, image k is grey 10 k."""
    return encode(tmp_path / "clip.mp4", greys(20))


@pytest.fixture
def busy_clip(tmp_path):
    """Six seconds with enough detail that most bytes are picture."""
    texture = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    images = [np.roll(texture, k, axis=1) for k in range(60)]
    return encode(tmp_path / "busy.mp4", images, options={"g": "10", "crf": "35", "preset": "ultrafast"})
