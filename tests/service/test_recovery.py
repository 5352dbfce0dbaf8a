"""What lasts: a service that is killed comes back with its streams and memories; so does a broken engine."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, QUESTION, commit_journals, kinds, push
from tests.waiting import until

from hermes_stream.errors import ClosedError, ServiceError
from hermes_stream.service import Service, served_stream, stream_registry
from hermes_stream.service.resumed_file import ResumedFile
from hermes_stream.video.sources.source import SourceEvent, SourceEventKind

_CHILD = """
import sys
from tests.checkpoints import random_frames
from hermes_stream.service import Service, ServiceSettings

checkpoint, folder = sys.argv[1:]
service = Service(checkpoint, folder, settings=ServiceSettings(snapshot_every_seconds=0.7))
for name in ("a", "b"):
    service.open_stream(name, policy="hermes", budget_tokens=40, chunk_frames=4, fps=1.0)
    newest = service.stream(name).newest_pts_seconds
    print("up", name, -1 if newest is None else int(newest), flush=True)
frames = {name: random_frames(4000, seed=ord(name)) for name in ("a", "b")}
begin = {name: int(service.stream(name).newest_pts_seconds or -1) + 1 for name in frames}
for k in range(4000):
    for name in frames:
        if begin[name] + k < 4000:
            service.push_frames(name, frames[name][begin[name] + k], wait_seconds=30)
            print("pushed", name, begin[name] + k, flush=True)
    if k % 5 == 4:
        service.ask("a", "what came first?", max_new_tokens=3, remember=k % 2 == 0, num_moments=0).wait()
"""


def keys_of(service: Service, name: str):
    """Return the memory of a stream: tokens, positions, keys, values."""
    live = service._running.registry.find(name).live

    def read(_):
        saved, tensors = live.handle.stream.saved(), {}
        collect(saved, "", tensors)
        return live.handle.num_changes, tensors

    return service._running.thread.run(read)


def collect(saved, place, tensors):
    for name, tensor in saved.tensors.items():
        tensors[f"{place}/{name}"] = tensor.clone()
    for name, part in saved.parts.items():
        collect(part, f"{place}/{name}", tensors)


@pytest.mark.long
def test_a_service_that_is_killed_comes_back_with_its_memory(serve, checkpoint_folder, tmp_path):
    folder, pushed = tmp_path / "service", {}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _CHILD, str(checkpoint_folder), str(folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in "ab"] == ["up a -1\n", "up b -1\n"]
        time.sleep(random.Random(0).uniform(1.5, 3.0))
        child.send_signal(signal.SIGKILL)
        for line in child.stdout.read().splitlines():
            if len(words := line.split()) == 3:
                pushed[words[1]] = int(words[2])
    began = time.monotonic()
    service = serve(folder)
    assert time.monotonic() - began < 5
    assert kinds(service, kinds=["stream_restored"]) == ["stream_restored"] * 2
    ids = [event.id for event in service.events(limit=10_000)]
    assert ids == sorted(set(ids))
    for name in ("a", "b"):
        status = service.stream(name)
        assert (status.epoch, status.state) == (2, "waiting")
        assert status.restored_until_seconds == status.newest_pts_seconds
        assert status.restored_until_seconds <= pushed[name]
    # the memory is the one that its own record makes, done again without any interruption
    undisturbed = replay_from_the_beginning(service, "b")
    num_changes, tensors = keys_of(service, "b")
    assert num_changes > 10
    assert undisturbed[0] == num_changes
    assert tensors.keys() == undisturbed[1].keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, undisturbed[1][name]), name


def replay_from_the_beginning(service: Service, name: str):
    """Observe the same frames in another stream, with nothing in between."""
    newest = int(service.stream(name).newest_pts_seconds)
    service.open_stream("undisturbed", policy="hermes", **FEW)
    for frame in random_frames(4000, seed=ord(name))[: newest + 1]:
        service.push_frames("undisturbed", frame, wait_seconds=30)
    until(lambda: service.stream("undisturbed").lag_seconds == 0)
    live = service._running.registry.find("undisturbed").live
    until(lambda: service._running.thread.run(lambda _: live.handle.is_settled and not live.handle.is_ready))
    return keys_of(service, "undisturbed")


def break_engine(service: Service, times: int = 1) -> None:
    """Let the engine's next steps fail, in every engine to come."""

    def plant(engine):
        def fail():
            raise RuntimeError("planted")

        engine.step = fail

    thread, make = service._running.thread, service._running.thread._make_engine
    left = [times - 1]

    def make_broken():
        engine = make()
        if left[0] > 0:
            left[0] -= 1
            plant(engine)
        return engine

    thread._make_engine = make_broken
    thread.run(plant)


def test_an_engine_that_fails_is_made_again_with_its_streams(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    expected = service.ask("door", QUESTION, max_new_tokens=4).text
    commit_journals(service)
    break_engine(service)
    until(lambda: service._running.thread.num_failures == 1)
    until(lambda: service.stream("door").memory is not None)
    assert service.ask("door", QUESTION, max_new_tokens=4).text == expected
    push(service, "door", random_frames(12)[9:])
    assert service.stream("door").num_frames == 12
    (event,) = service.events(kinds=["engine_failed"])
    assert event.payload["reason"] == "RuntimeError: planted"
    health = service.health()
    assert (health.is_live, health.num_engine_failures) == (True, 1)
    assert not service.wait(0)


def test_an_engine_that_fails_twice_at_once_is_given_up(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    break_engine(service, times=2)
    with pytest.raises(ServiceError, match="failed for good: planted"):
        service.wait(20)
    assert not service.health().is_live
    with pytest.raises(ClosedError, match="the engine has failed: planted"):
        service.ask("door", QUESTION)
    with pytest.raises(ClosedError):
        service.push_frames("door", random_frames(1, start=50.0))
    service.close()
    again = serve()
    assert again.stream("door").num_frames == 9


def test_questions_of_an_engine_that_fails_are_told(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    answer = service.ask("door", QUESTION, max_new_tokens=100)
    break_engine(service)
    assert answer.wait(20)
    if answer.finish_reason == "failed":
        with pytest.raises(ClosedError, match="planted"):
            assert answer.text
    until(lambda: service.capacity().num_open_questions == 0)


def test_a_memory_that_cannot_be_restored_is_told_and_kept(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(9))
    service.close()
    (file, *others) = (service.data_dir / "snapshots").rglob("*.safetensors")
    for path in (file, *others):
        path.write_bytes(path.read_bytes()[:1000])
    again = serve()
    status = again.stream("door")
    assert status.state == "failed"
    assert "could not be restored" in status.reason
    with pytest.raises(ClosedError, match="could not be restored"):
        again.ask("door", QUESTION)
    with pytest.raises(ClosedError, match="could not be restored"):
        again.push_frames("door", random_frames(1, start=50.0))
    assert file.exists()
    again.close_stream("door", delete=True)
    again.open_stream("door", **FEW)


def test_a_deletion_that_was_cut_short_is_finished(serve):
    service = serve()
    service.open_stream("door", **FEW)
    push(service, "door", random_frames(5))
    row = service._running.registry.find("door").row
    service._running.store.streams.change(row.id, state="deleting")
    service.close()
    again = serve()
    assert again.streams(closed=True) == ()
    assert kinds(again, kinds=["answered", "stream_opened"]) == []
    assert not list((again.data_dir / "pictures").rglob("*.jpg"))


def test_a_stream_that_could_not_be_opened_is_not_there_after_a_restart(serve, monkeypatch):
    service = serve()

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as disk:
        disk.setattr(stream_registry, "seat", read_only)
        disk.setattr(served_stream.ServedStream, "delete_files", read_only)
        with pytest.raises(OSError, match="Read-only"):
            service.open_stream("door", **FEW)
    service.close()
    assert serve().streams(closed=True) == ()


def test_others_may_not_look_into_the_folder(serve):
    assert serve().data_dir.stat().st_mode & 0o077 == 0


def test_a_password_in_an_address_is_kept_nowhere(serve, caplog):
    service = serve()
    address = "rtsp://user:planted@127.0.0.1:1/door"
    status = service.open_stream("door", address, **FEW)
    assert "planted" not in repr(status)
    assert "127.0.0.1" in status.source
    until(lambda: kinds(service, kinds=["source_state"]) or service.stream("door").state != "opening")
    assert service.open_stream("door", address).name == "door"
    with pytest.raises(Exception, match="door") as caught:
        service.open_stream("door", "rtsp://user:planted@127.0.0.1:1/other")
    service.close()
    again = serve()
    assert again.stream("door").state == "waiting"
    assert "give its address once more" in again.stream("door").reason
    again.open_stream("door", address)
    assert again.stream("door").state in ("opening", "reconnecting")
    again.close()
    told = [caplog.text, str(caught.value), repr(again.health())]
    told += [path.read_bytes().decode("latin-1") for path in service.data_dir.rglob("*") if path.is_file()]
    assert not any("planted" in text for text in told)


def test_a_memory_that_breaks_is_restored_and_others_go_on(serve, monkeypatch):
    service = serve()
    for name in ("door", "yard"):
        service.open_stream(name, **FEW)
        push(service, name, random_frames(9))
    commit_journals(service)
    broken = service._running.registry.find("door").live.handle.stream.memory.cache
    own = broken.apply

    def fail(plan):
        own(plan)
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(broken, "apply", fail)
    for name in ("door", "yard"):
        service.push_frames(name, random_frames(40)[9:], wait_seconds=30)
    until(lambda: kinds(service, kinds=["stream_restored"]) != [])
    monkeypatch.undo()
    until(lambda: all(service.stream(name).lag_seconds == 0 for name in ("door", "yard")))
    answers = {service.ask(name, QUESTION, max_new_tokens=4).text for name in ("door", "yard")}
    assert len(answers) == 1
    assert [service.stream(name).num_frames for name in ("door", "yard")] == [40, 40]
    assert service.health().num_engine_failures == 0


class Waits:
    """An event that passes time instead of waiting for it."""

    def __init__(self, now: list[float]) -> None:
        self.now, self.waits, self.stopped = now, [], False

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now[0] += seconds

    def is_set(self) -> bool:
        return self.stopped

    def set(self) -> None:
        self.stopped = True


def test_a_file_goes_on_at_its_pace_behind_what_its_stream_has(monkeypatch):
    now, stops = [50.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    event = SourceEvent(kind=SourceEventKind.OPENED, pts_seconds=0.0, reason="")

    def read():
        yield event
        yield from random_frames(6)
        stops.append("read to its end")

    resumed = ResumedFile(SimpleNamespace(read=read, stop=lambda: stops.append("stopped")), 2.0)
    resumed._stopped = waits = Waits(now)
    items = resumed.read()
    assert next(items) is event
    assert next(items).pts_seconds == 3.0
    now[0] += 0.25  # whoever takes the frames is slow
    assert next(items).pts_seconds == 4.0
    assert waits.waits == [0.0, 0.75]
    resumed.stop()
    assert list(items) == []
    assert stops == ["stopped"]
