"""Chunks of a stream that has watches: a second each, unless somebody said otherwise."""

from __future__ import annotations

import shutil

import pytest
import torch
from tests.checkpoints import random_frames
from tests.service.test_recovery import collect, keys_of
from tests.service.test_service import commit_journals
from tests.service.test_standing import SURE, push
from tests.waiting import until

from hermes_stream.service.journal import Committer
from hermes_stream.service.memory_on_disk import MemoryOnDisk
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.stream import Engine

PLAIN = {"budget_tokens": 40, "fps": 1.0}


def looks(service, name="door"):
    return [seconds for seconds, _ in service.watches.scores(name, "a")]


def test_the_first_watch_of_a_running_stream_looks_each_second(serve):
    service = serve()
    service.open_stream("door", **PLAIN)
    frames = random_frames(20)
    service.push_frames("door", frames[:3], wait_seconds=5)
    assert service.stream("door").chunk_frames == 8
    assert service.stream("door").folded_until_seconds is None
    service.watches.add("door", "is it?", name="a", **SURE)
    assert service.stream("door").chunk_frames == 1
    until(lambda: looks(service) == [0.0, 1.0, 2.0])
    push(service, "door", frames[3:6])
    assert looks(service) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    service.watches.change("door", "a", {"is_on": False})
    assert service.stream("door").chunk_frames == 8
    service.watches.change("door", "a", {"is_on": True})
    assert service.stream("door").chunk_frames == 1
    service.watches.remove("door", "a")
    assert service.stream("door").chunk_frames == 8
    service.push_frames("door", frames[6:13], wait_seconds=5)
    until(lambda: service.stream("door").memory.num_pending_frames == 7)
    assert service.stream("door").folded_until_seconds == 5.0


@pytest.mark.parametrize("place", ["stream", "service"])
def test_what_was_given_is_kept(serve, place):
    given = {"chunk_frames": 4}
    service = serve(**given if place == "service" else {})
    service.open_stream("door", **PLAIN, **given if place == "stream" else {})
    service.watches.add("door", "is it?", name="a", **SURE)
    service.push_frames("door", random_frames(9), wait_seconds=5)
    until(lambda: looks(service) == [3.0, 7.0])
    assert service.stream("door").chunk_frames == 4


@pytest.mark.parametrize(("fps", "chunk_frames"), [(0.25, 1), (1.0, 1), (4.0, 4), (25.0, 8)])
def test_a_second_is_at_least_a_frame_and_no_more_than_the_default(serve, fps, chunk_frames):
    service = serve()
    service.open_stream("door", budget_tokens=40, fps=fps)
    service.watches.add("door", "is it?", name="a")
    assert service.stream("door").chunk_frames == chunk_frames


def test_it_stays_so_after_a_restart_and_with_another_memory(serve):
    service = serve()
    service.open_stream("door", **PLAIN)
    service.watches.add("door", "is it?", name="a", **SURE)
    push(service, "door", random_frames(3))
    service.set_policy("door", "window", budget_tokens=60)
    assert service.stream("door").chunk_frames == 1
    service.close(drain_seconds=0)
    again = serve()
    assert again.stream("door").chunk_frames == 1
    push(again, "door", random_frames(5)[3:])
    assert looks(again)[-2:] == [3.0, 4.0]


def test_what_the_journal_makes_again_is_the_memory_to_the_bit(serve, model, tmp_path):
    service = serve()
    service.open_stream("door", **PLAIN)
    frames = random_frames(30)
    service.push_frames("door", frames[:10], wait_seconds=5)
    until(lambda: service.stream("door").folded_until_seconds == 7.0)
    service.watches.add("door", "is it?", name="a", **SURE)
    push(service, "door", frames[10:15])
    service.watches.remove("door", "a")
    service.push_frames("door", frames[15:26], wait_seconds=5)
    until(lambda: service.stream("door").folded_until_seconds == 22.0)
    until(lambda: service.stream("door").num_waiting_frames == 3)
    commit_journals(service)
    folder = tmp_path / "copy"
    for kind in ("snapshots", "journals"):
        shutil.copytree(tmp_path / "service" / kind / "0001-door", folder / kind)
    num_changes, tensors = keys_of(service, "door")
    with Committer(every_seconds=1000) as committer:
        disk = MemoryOnDisk(folder / "snapshots", folder / "journals", committer)
        restored = disk.restore(Engine(model))
        disk.close()
    again: dict[str, torch.Tensor] = {}
    collect(restored.stream.saved(), "", again)
    assert restored.num_changes == num_changes > 30
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, again[name]), name


def test_a_trial_looks_as_often_as_the_watch_would(serve):
    service = serve()
    service.open_stream("door", **PLAIN)
    service.push_frames("door", random_frames(8), wait_seconds=5)
    until(lambda: service.stream("door").folded_until_seconds == 7.0)
    trial = service.watches.test("door", WatchSettings(question="is it?", **SURE))
    assert [seconds for seconds, _ in trial.scores] == [float(k) for k in range(8)]
