"""A service over real sources: a camera that dies and comes back, a file that goes on after a restart."""

from __future__ import annotations

import time

import pytest
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, QUESTION, kinds
from tests.waiting import until

from hermes_stream import write_video
from hermes_stream.errors import SourceRefusedError
from hermes_stream.video.rtsp import RtspServer
from hermes_stream.video.sources.options import SourceOptions


def test_a_camera_that_dies_is_watched_again_with_one_clock(serve, tmp_path):
    service = serve()
    write_video(tmp_path / "clip.mp4", random_frames(80, fps=8.0), fps=8)
    choices = FEW | {"fps": 4.0}
    with RtspServer() as server:
        address, port = server.add("door", tmp_path / "clip.mp4", repeat=True), server.port
        assert service.open_stream("door", address, **choices).source == address
        until(lambda: service.stream("door").num_frames >= 3)
        assert service.ask("door", QUESTION, max_new_tokens=2).text is not None
    until(lambda: service.stream("door").state == "reconnecting")
    before = service.stream("door")
    assert before.reason
    with RtspServer(port=port) as server:
        server.add("door", tmp_path / "clip.mp4", repeat=True)
        until(lambda: service.stream("door").num_frames > before.num_frames)
        status = service.stream("door")
        assert (status.state, status.num_reconnections) == ("live", 1)
        assert status.newest_pts_seconds > before.newest_pts_seconds
        now = time.time() - status.zero_wall_seconds
        assert abs(status.newest_pts_seconds - now) < 3
        service.close()
        time.sleep(1.0)  # a pause of more than three frames
        again = serve()  # with the memory, the clock and the source that it had
        restored = again.stream("door").restored_until_seconds
        assert restored >= status.newest_pts_seconds - 1
        until(lambda: (again.stream("door").newest_pts_seconds or 0) > restored + 0.5)
        now = time.time() - again.stream("door").zero_wall_seconds
        assert abs(again.stream("door").newest_pts_seconds - now) < 3
    states = [event.payload["what"] for event in again.events(kinds=["source_state"])]
    assert states[:3] == ["opened", "disconnected", "reconnected"]
    gaps = again.events(kinds=["gap"])  # one of the camera, one of the restart
    assert len(gaps) == 2
    assert (gaps[1].epoch, gaps[1].pts_seconds) == (2, restored)
    assert gaps[1].payload["seconds"] == pytest.approx(gaps[1].payload["until_seconds"] - restored)
    assert again.stream("door").num_gaps == 1


def test_a_file_that_is_read_fast_goes_on_where_it_was(serve, tmp_path):
    service = serve()
    write_video(tmp_path / "clip.mp4", random_frames(60, fps=2.0), fps=2)
    fast = SourceOptions(pace="fast")
    service.open_stream("clip", tmp_path / "clip.mp4", source_options=fast, **FEW)
    until(lambda: service.stream("clip").num_frames > 5)
    service.close()
    again = serve()
    until(lambda: (one := again.stream("clip")).state == "ended" and one.lag_seconds == 0)
    assert again.stream("clip").num_frames == 30
    again.close()
    third = serve()  # what has ended is not read again
    assert third.stream("clip").state == "ended"
    assert third.stream("clip").num_frames == 30
    assert third.ask("clip", QUESTION, max_new_tokens=2).text is not None


def test_a_file_at_its_own_pace_goes_on_where_it_was(serve, tmp_path):
    service = serve()
    write_video(tmp_path / "clip.mp4", random_frames(24, fps=8.0), fps=8)
    choices = FEW | {"fps": 8.0}
    service.open_stream("clip", tmp_path / "clip.mp4", **choices)
    until(lambda: service.stream("clip").num_frames >= 8)
    service.close()
    again = serve()
    began, before = time.monotonic(), again.stream("clip").restored_until_seconds
    until(lambda: (one := again.stream("clip")).state == "ended" and one.lag_seconds == 0)
    assert again.stream("clip").num_frames == 24
    assert again.stream("clip").newest_pts_seconds == pytest.approx(23 / 8)
    assert time.monotonic() - began >= 23 / 8 - before - 0.3
    assert "gap" not in kinds(again)  # it has missed nothing


def test_an_address_that_is_not_allowed_is_refused_also_after_a_restart(serve):
    service = serve()
    with pytest.raises(SourceRefusedError, match="may not be opened"):
        service.open_stream("door", "rtsp://10.0.0.5/a", allow_sources=["rtsp://10.0.0.6/*"], **FEW)
    assert service.streams(closed=True) == ()
    service.open_stream("door", "rtsp://127.0.0.1:1/a", allow_sources=["rtsp://127.0.0.1:1/*"], **FEW)
    until(lambda: service.stream("door").state in ("failed", "reconnecting"))
    service.close()
    again = serve()
    row = again._running.registry.find("door")
    assert row.choices.allow == ("rtsp://127.0.0.1:1/*",)
    until(lambda: "127.0.0.1" in (again.stream("door").reason or ""))
