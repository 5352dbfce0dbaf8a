from __future__ import annotations

import logging
import os
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.codec.context import ThreadType
from tests.video.clips import (
    MEDIA,
    encode,
    overwrite,
    times,
)

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource
from hermes_stream.video.sources.container import choose_video_stream, open_container, read_packets


def test_bad_packets_are_skipped_and_told(busy_clip, caplog):
    source = FileSource(overwrite(busy_clip, 0.5, b"\x00" * (busy_clip.stat().st_size // 10)))
    result = times(source)
    assert 30 <= len(result) < 60
    assert result[-1] > 5
    assert source.damage.startswith("decoding broke at ")
    assert "packet(s) lost" in source.damage
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(busy_clip) in caplog.text


def y4m(broken):
    """Ten raw pictures at 10 fps; the header of one is broken."""
    pictures = [bytes([20 * k]) * 64 * 48 + b"\x80" * 64 * 24 for k in range(10)]
    headers = [b"BROKE\n" if k == broken else b"FRAME\n" for k in range(10)]
    return b"YUV4MPEG2 W64 H48 F10:1 Ip C420\n" + b"".join(map(bytes.__add__, headers, pictures))


def test_file_that_breaks_in_the_middle_yields_what_was_good(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(y4m(broken=6))
    source = FileSource(path)
    assert times(source) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert source.damage.startswith("reading broke at 0.5 s: Invalid data")
    path.write_bytes(y4m(broken=-1))
    assert len(list(source)) == 10
    assert source.damage is None


@pytest.mark.parametrize("name", ["av1_video.mkv", "testsrc2_vp9.webm", "bt601_limited_range.mp4"])
def test_file_cut_short_says_where(tmp_path, name):
    path = tmp_path / name
    if name.endswith("mp4"):  # its index must come first, or nothing can be read
        remux_index_first(MEDIA / name, path)
    else:
        path.write_bytes((MEDIA / name).read_bytes())
    os.truncate(path, path.stat().st_size // 2)
    source = FileSource(path, fps=10)
    result = times(source)
    assert 2 <= len(result) < 10 * source.duration_seconds - 3
    assert source.damage.startswith("the pictures end at ")


def remux_index_first(source, target):
    options = {"movflags": "faststart"}
    with av.open(str(source)) as read, av.open(str(target), "w", options=options) as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                written.mux(packet)


@pytest.fixture
def keys(tmp_path):
    """Twelve key frames of noise; the content of the fifth is damaged."""
    images = list(np.random.default_rng(2).integers(0, 256, (12, 96, 128, 3), dtype=np.uint8))
    path = encode(tmp_path / "keys.mp4", images, options={"g": "1", "crf": "40"})
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][4]
        start, size = packet.pos, packet.size
    return overwrite(path, (start + 4) / path.stat().st_size, b"\xff" * (size - 4))


def test_one_bad_packet_costs_one_picture(keys):
    """Threads that decode several pictures at once lose those beside it as well."""
    source = FileSource(keys)
    assert times(source) == pytest.approx([k / 10 for k in range(12) if k != 4])
    assert "1 packet(s) lost" in source.damage


@pytest.mark.parametrize("name", ["h265_video.mp4", "av1_video.mkv", "bt601_limited_range.mp4"])
def test_every_stream_is_decoded_in_one_thread(name):
    with open_container(MEDIA / name, max_pixels=10**7) as container:
        stream = choose_video_stream(container, MEDIA / name, video_stream=None, max_pixels=10**7)
        coder = stream.codec_context
        assert (coder.thread_type, coder.thread_count) == (ThreadType.SLICE, 1)


def test_abandoned_decoding_ends_where_a_program_listens_to_the_log():
    program = (
        "import av.logging, sys; from hermes_stream import FileSource\n"
        "av.logging.set_level(av.logging.DEBUG)\n"
        "for _ in range(40): next(iter(FileSource(sys.argv[1])))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(MEDIA / "nasa_13013_rotated.mp4")]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


def test_streams_that_appear_in_the_middle_are_no_error():
    """PyAV counts the streams before it reads, and fails at the end where there are more by then."""

    class Container:
        def demux(self, *streams):
            yield from (SimpleNamespace(size=size) for size in (5, 0, 7))
            raise IndexError("list index out of range")

    assert [packet.size for packet in read_packets(Container(), [None])] == [5, 7]


def test_no_picture_that_decodes(busy_clip):
    with av.open(str(busy_clip)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    overwrite(busy_clip, 48 / busy_clip.stat().st_size, b"\x00" * sum(sizes))
    with pytest.raises(VideoError, match="no picture of its h264 video could be decoded"):
        FileSource(busy_clip)


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_ends_in_frames_or_a_video_error(tmp_path, seed):
    rng = np.random.default_rng(seed)
    name = ("h265_video.mp4", "av1_video.mkv", "test_non_zero_start.mp4")[seed % 3]
    content = bytearray((MEDIA / name).read_bytes())
    for place in rng.integers(0, len(content), 40).tolist():
        content[place] = int(rng.integers(256))
    path = tmp_path / name
    path.write_bytes(content[: rng.integers(len(content) // 2, len(content))])
    try:
        result = times(FileSource(path, fps=5))
    except VideoError:
        result = []
    assert all(a < b for a, b in pairwise(result))
