from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from tests.video.clips import add_silence, add_video, greys, noise

from hermes_stream.errors import VideoError
from hermes_stream.video import FileSource


@pytest.fixture
def two_videos(tmp_path):
    """A small black stream, then a larger one of noise that is marked as the default."""
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        black = [np.zeros((32, 32, 3), np.uint8)] * 5
        noisy = list(np.random.default_rng(0).integers(0, 256, (5, 96, 96, 3), dtype=np.uint8))
        small, large = add_video(container, black), add_video(container, noisy)
        large[0].stream.disposition = Disposition.default
        container.mux(small + large)
    return path


def test_best_stream_is_chosen_and_others_can_be(two_videos):
    assert FileSource(two_videos).width == 96
    for video_stream, width, is_black in ((0, 32, True), (1, 96, False)):
        source = FileSource(two_videos, video_stream=video_stream)
        assert source.width == width
        assert {frame.image.max() < 5 for frame in source} == {is_black}


@pytest.mark.parametrize("video_stream", [2, -1])
def test_missing_stream_says_how_many_there_are(two_videos, video_stream):
    with pytest.raises(VideoError, match=rf"no video stream {video_stream}; it has 2 \(accepted: 0 to 1\)"):
        FileSource(two_videos, video_stream=video_stream)


def with_cover(path, *, video):
    with av.open(str(path), "w") as container:
        cover = add_video(container, greys(1, height=320, width=320), codec="mjpeg", pix_fmt="yuvj420p")
        cover[0].stream.disposition = Disposition.attached_pic
        video_packets = add_video(container, greys(10)) if video else []
        container.mux(cover + video_packets + add_silence(container))
    return path


def test_cover_picture_is_not_the_video(tmp_path):
    source = FileSource(with_cover(tmp_path / "a.mp4", video=True))
    assert (source.codec, source.width) == ("h264", 64)
    with pytest.raises(VideoError, match="cover picture but no video"):
        FileSource(with_cover(tmp_path / "b.mp4", video=False))


def write_sound(path):
    with av.open(str(path), "w") as container:
        container.mux(add_silence(container))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none.mp4", None, "does not exist"),
        ("folder", Path.mkdir, "is a folder"),
        ("empty.mp4", Path.touch, r"is empty \(0 bytes\)"),
        ("text.mp4", lambda p: p.write_text("not a video\n" * 50), "is not a video"),
        ("noise.mp4", lambda p: p.write_bytes(noise(5000)), "is not"),
        ("sound.m4a", write_sound, "no video, only audio"),
        ("pipe", os.mkfifo, "not a regular file"),
    ],
)
def test_refuses_what_is_no_video(tmp_path, name, make, message):
    path = tmp_path / name
    if make:
        make(path)
    with pytest.raises(VideoError, match=message) as caught:
        FileSource(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a" * 300 + ".mp4", "cannot be reached: File name too long"),
        ("/".join(["a" * 200] * 40), "cannot be reached: File name too long"),
        ("\ud800.mp4", r"\\ud800.mp4 is no name that a file can have"),
        ("\udcff.mp4", r"\\udcff.mp4 does not exist"),
        ("a\0b.mp4", r"a\\0b.mp4 is no name that a file can have"),
        ("file.mp4/a.mp4", "does not exist"),
        ("/dev/zero", "devices and pipes are not read"),
        ("/dev/full", "devices and pipes are not read"),
        ("", "is a folder"),
    ],
)
def test_refuses_names_that_lead_nowhere(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    Path("file.mp4").touch()
    with pytest.raises(VideoError, match=message) as caught:
        FileSource(name)
    assert len(str(caught.value).encode()) < 700  # whatever the name, a terminal or a log can show it


def test_a_name_that_is_no_text_is_read(clip):
    renamed = clip.rename(clip.with_name("\udcff.mp4"))
    assert len(list(FileSource(renamed))) == 20


def test_refuses_what_is_out_of_reach(clip, monkeypatch):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(VideoError, match="cannot be reached: Permission denied; check the path"):
        FileSource(clip)


def test_a_working_folder_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(VideoError, match="the folder that this was started in is gone"):
        FileSource("a.mp4")


def test_refuses_a_file_without_its_index(clip):
    content = clip.read_bytes()
    clip.write_bytes(content[: content.index(b"moov")])
    with pytest.raises(VideoError, match="cut short before its index"):
        FileSource(clip)


@pytest.mark.parametrize(
    "url", ["http://a.example/b.mp4", "rtsp://camera/1", "file:///tmp/a.mp4", Path("rtsp://camera/1")]
)
def test_refuses_urls(url):
    with pytest.raises(VideoError, match="is a URL, and a file's path is wanted here"):
        FileSource(url)


@pytest.mark.parametrize("suffix", ["m3u8", "ffconcat", "sdp", "mpd", "mp4"])
def test_playlists_reach_no_other_file(clip, suffix):
    path = clip.with_name(f"list.{suffix}")
    path.write_text(
        {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{clip}\n#EXT-X-ENDLIST\n",
            "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
            "mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{clip}</MPD>',
        }.get(suffix, f"ffconcat version 1.0\nfile '{clip.name}'\n")
    )
    with pytest.raises(VideoError, match=r"is a playlist or another format|is not a video"):
        FileSource(path)


def test_strange_names_are_only_names(clip, monkeypatch):
    monkeypatch.chdir(clip.parent)
    for name in ("concat:a|b", "pipe:0", "a%03d.mp4", "-i.mp4", "größe ü.mp4"):
        clip.rename(name)
        assert len(list(FileSource(name, fps=1))) == 2
        clip = Path(name)


@pytest.mark.parametrize("kind", [b"stsz", b"stts", b"ctts"])
def test_refuses_more_samples_than_a_file_can_hold(clip, kind):
    """FFmpeg would make room for each of them."""
    content = bytearray(clip.read_bytes())
    place = content.index(kind) + 12
    content[place : place + 4] = (100_000_000).to_bytes(4, "big")
    clip.write_bytes(content)
    with pytest.raises(VideoError, match=r"claims \d+ samples in \d+ bytes, so its index is damaged"):
        FileSource(clip)


def test_boxes_in_boxes_without_end_are_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    nested = b"".join((8 * k).to_bytes(4, "big") + b"moov" for k in range(20_000, 0, -1))
    path.write_bytes(nested)
    with pytest.raises(VideoError, match="is not a video"):
        FileSource(path)


def test_refuses_pictures_that_are_too_large(clip):
    with pytest.raises(VideoError, match="64 x 48 = 3072 pixels, at most 3071"):
        FileSource(clip, max_pixels=3071)
    assert len(list(FileSource(clip, max_pixels=3072))) == 20


@pytest.mark.parametrize("fps", [0, -2.0, math.nan, math.inf])
def test_refuses_a_rate_that_is_none(clip, fps):
    with pytest.raises(ValueError, match="fps is"):
        FileSource(clip, fps=fps)
