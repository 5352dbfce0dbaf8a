"""Every container and codec of the small clips is watched whole."""

from __future__ import annotations

import pytest
from tests.video.clips import times
from tests.video.kinds import KINDS

from hermes_stream.video import FileSource

STILLS = ("exif.avif", "exif.jpg", "exif.png", "exif.webp", "still.bmp", "still.tiff", "tiles.heic")
REFUSED = ("animated.webp",)


@pytest.mark.parametrize("path", sorted(KINDS.iterdir()), ids=lambda path: path.name)
def test_a_sound_clip_is_watched_whole(path):
    if path.name in REFUSED:
        pytest.skip("refused, see test_still")
    source = FileSource(path)
    frames = list(source)
    assert len(frames) == (1 if path.name in STILLS else 12)
    assert {frame.image.shape for frame in frames} == {(source.height, source.width, 3)}
    assert source.damage is None
    if source.duration_seconds is not None and path.name != "sound.mp4":
        assert times(FileSource(path, fps=5))[-1] < source.start_seconds + source.duration_seconds
