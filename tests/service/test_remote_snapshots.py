"""Snapshots beyond this machine: the newest of each stream, fetched where a machine has none of its own."""

from __future__ import annotations

import shutil
import time

import fsspec
import pytest
from tests.checkpoints import random_frames
from tests.service.test_service import FEW, QUESTION, push
from tests.waiting import until

from hermes_stream.errors import MissingPackageError, SettingsError
from hermes_stream.service.remote_snapshots import RemoteSnapshots


@pytest.fixture(params=["memory", "file", "s3"])
def address(request, tmp_path):
    """Addresses of two kinds of store that need nothing, and of one that a server of S3 has."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3_url')}/{tmp_path.name}"
        return
    url = f"{request.param}://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path.name}"
    yield url
    files, root = fsspec.core.url_to_fs(url)
    if files.exists(root):
        files.rm(root, recursive=True)


@pytest.fixture(scope="module")
def s3_url():
    pytest.importorskip("s3fs", reason="needs the package s3fs")
    server = pytest.importorskip("moto.server", reason="needs the package moto[server]")
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    given = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).makedirs("memories", exist_ok=True)
        yield "s3://memories/house"
    running.stop()


def names(remote, folder):
    return remote._names(folder)


def write(folder, number, content=b"x"):
    folder.mkdir(exist_ok=True)
    path = folder / f"000001-{number:012d}.safetensors"
    path.write_bytes(content * 1000)
    return path


def test_the_newest_are_kept_fetched_and_forgotten(address, tmp_path):
    remote = RemoteSnapshots(address, num_kept=2)
    folder, other = tmp_path / "door", tmp_path / "desk"
    for number in (1, 2, 3):
        remote.send(write(folder, number, bytes([number])))
        assert remote.flush(20)
    remote.send(write(other, 9))
    assert remote.flush(20)
    assert names(remote, "door") == [f"000001-{n:012d}.safetensors" for n in (2, 3)]
    shutil.rmtree(folder)
    assert remote.fetch(folder).read_bytes() == bytes([3]) * 1000
    assert [one.name for one in folder.iterdir()] == ["000001-000000000003.safetensors"]
    assert remote.fetch(tmp_path / "none") is None
    remote.forget("door")
    assert names(remote, "door") == []
    assert names(remote, "desk")
    remote.close()


def test_a_stream_comes_back_on_a_machine_that_has_nothing_of_it(serve, address, tmp_path):
    settings = {"snapshots_url": address, **FEW}
    service = serve(**settings)
    service.open_stream("door")
    push(service, "door", random_frames(9))
    before = service.ask("door", QUESTION, max_new_tokens=4).text
    service.close()
    shutil.rmtree(service.data_dir / "snapshots")
    shutil.rmtree(service.data_dir / "journals")
    again = serve(**settings)
    assert again.stream("door").num_frames == 9
    assert again.ask("door", QUESTION, max_new_tokens=4).text == before
    again.close_stream("door", delete=True)
    files, root = fsspec.core.url_to_fs(address)
    files.invalidate_cache()
    assert not [one for one in files.find(root) if one.endswith(".safetensors")]


def test_what_cannot_be_sent_is_told_and_sent_later(tmp_path, monkeypatch):
    monkeypatch.setattr("hermes_stream.service.remote_snapshots._TRY_AGAIN_SECONDS", 0.05)
    remote = RemoteSnapshots("memory://away", num_kept=2)
    files = remote._files
    monkeypatch.setattr(files, "open", lambda *_, **__: (_ for _ in ()).throw(OSError("the store is away")))
    remote.send(write(tmp_path / "door", 1))
    until(lambda: remote.failure is not None)
    assert "the store is away" in remote.failure
    began = time.monotonic()
    remote.close(timeout_seconds=0.2)
    assert time.monotonic() - began < 5
    monkeypatch.undo()


def test_a_newer_one_takes_the_place_of_one_that_waits(tmp_path):
    remote = RemoteSnapshots(f"memory://{tmp_path.name}-newer", num_kept=2)
    gone = write(tmp_path / "door", 1)
    gone.unlink()  # as a newer one has it deleted on this machine
    remote.send(gone)
    remote.send(write(tmp_path / "door", 2))
    assert remote.flush(20)
    assert names(remote, "door") == ["000001-000000000002.safetensors"]
    assert remote.failure is None
    remote.close()


def test_an_address_that_is_none_is_refused_without_its_secret():
    with pytest.raises(SettingsError, match="no kind of store at made-up://host") as refused:
        RemoteSnapshots("made-up://user:secret@host/x", num_kept=1)
    assert "secret" not in str(refused.value)
    with pytest.raises((MissingPackageError, SettingsError)):
        RemoteSnapshots("dropbox://x", num_kept=1)
