"""Parts of files: they begin at the key frame before what was asked for, whatever the container tells."""

from __future__ import annotations

import av
import pytest
from tests.video.clips import encode, greys, shown

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource
from hermes_stream.video.cutting import can_copy, copy_part

# Key frames every 0.5 s, two B-frames between others; greys in steps of 8 tell which picture is which.
OPTIONS = {"g": "5", "bf": "2", "b_strategy": "0", "sc_threshold": "0", "crf": "5"}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("asked", "first"), [(0.0, 0), (0.4, 0), (1.0, 10), (1.2, 10), (2.7, 25), (2.9, 25)])
def test_a_part_begins_at_the_key_frame_before(tmp_path, suffix, asked, first):
    path = encode(tmp_path / f"a.{suffix}", greys(30, step=8), options=OPTIONS)
    target = tmp_path / "part.mp4"
    part = copy_part(path, target, from_seconds=asked, until_seconds=asked + 0.5, max_bytes=10**6)
    assert part.from_seconds == pytest.approx(first / 10, abs=0.002)
    pictures = [shown(frame.image, step=8) for frame in FileSource(target)]
    whole = list(range(first, min(30, round((asked + 0.5) * 10))))  # one that others rest on may follow
    assert pictures[: len(whole)] == whole
    assert max(pictures) <= whole[-1] + 5
    assert part.until_seconds == pytest.approx((max(pictures) + 1) / 10, abs=0.002)
    with av.open(str(target)) as container:
        assert container.start_time <= 300_000  # two pictures that are decoded before the first is shown


@pytest.mark.parametrize(
    ("how", "is_copied"),
    [({}, True), ({"codec": "ffv1"}, False), ({"rotation": {"degrees": 90}}, False)],
)
def test_what_stands_upright_in_a_codec_that_players_take_is_copied(tmp_path, how, is_copied):
    suffix = "mkv" if "codec" in how else "mp4"
    assert can_copy(encode(tmp_path / f"a.{suffix}", greys(3), **how)) == is_copied


def test_a_part_has_so_many_bytes_at_most(tmp_path):
    path, target = encode(tmp_path / "a.mp4", greys(20), options=OPTIONS), tmp_path / "part.mp4"
    copy_part(path, target, from_seconds=0, until_seconds=1, max_bytes=10**6)
    with av.open(str(target)) as container:
        num_bytes = sum(packet.size for packet in container.demux(video=0))
    copy_part(path, target, from_seconds=0, until_seconds=1, max_bytes=num_bytes)
    with pytest.raises(VideoError, match=f"more than {num_bytes - 1} bytes"):
        copy_part(path, target, from_seconds=0, until_seconds=1, max_bytes=num_bytes - 1)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_a_copy_in_hevc_has_the_tag_that_players_take(suffix, tmp_path):
    source = encode(
        tmp_path / f"whole{suffix}", greys(9), codec="libx265", options={"x265-params": "log-level=0"}
    )
    target = tmp_path / "part.mp4"
    copy_part(source, target, from_seconds=0, until_seconds=1, max_bytes=2**20)
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    assert [shown(frame.image) for frame in FileSource(target)] == list(range(9))


def test_there_is_no_part_behind_the_end(tmp_path):
    path = encode(tmp_path / "a.mkv", greys(10), options=OPTIONS)
    with pytest.raises(VideoError, match="no picture from 30 s on"):
        copy_part(path, tmp_path / "b.mp4", from_seconds=30, until_seconds=31, max_bytes=10**6)
