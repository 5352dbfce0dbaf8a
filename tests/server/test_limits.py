"""How much is too much: bodies, files, connections; and where files may lie."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import time
from contextlib import contextmanager
from io import BytesIO

import pytest
from tests.server.served import serving
from tests.waiting import until

from hermes_stream.server import ServerSettings, gate
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.uploads import AROUND_BYTES, Uploads

SETTINGS = ServerSettings(
    port=0, max_body_bytes=1000, max_file_bytes=5000, max_files_bytes=12_000, max_connections=8
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def narrow(tiny, tmp_path_factory):
    with serving(tmp_path_factory.mktemp("narrow"), SETTINGS, model=tiny) as one:
        yield one


def upload(served, content: bytes, name: str = "a.mp4", **form):
    return served.http.post("/v1/files", files={"file": (name, content)}, data=form)


@contextmanager
def following(served, count: int):
    """Hold connections that follow events."""
    host, port = served.url.removeprefix("http://").split(":")
    head = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    held = [socket.create_connection((host, int(port))) for _ in range(count)]
    try:
        for connection in held:
            connection.sendall(head)
            assert connection.recv(12) == b"HTTP/1.1 200"
        yield
    finally:
        for connection in held:
            connection.close()


def test_a_body_that_says_that_it_is_too_large_is_not_read(narrow):
    refused = narrow.http.post("/v1/streams", content=b" " * 1001, headers=JSON)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")
    assert refused.json()["error"]["accepted"] == {"max_bytes": 1000}


def test_a_body_that_does_not_say_its_size_is_counted(narrow):
    pieces = (b" " * 400 for _ in range(4))
    assert narrow.http.post("/v1/streams", content=pieces, headers=JSON).status_code == 413


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(narrow):
    assert upload(narrow, b"x" * 5001).status_code == 413
    assert upload(narrow, b"x" * 100_000).status_code == 413
    assert narrow.http.get("/v1/files").json()["data"] == []
    assert list((narrow.service.data_dir / "uploads").iterdir()) == []


def test_a_file_is_named_by_its_content_and_deleted(narrow):
    first = upload(narrow, b"content", "../../../etc/passwd\x1b[31m", purpose="vision").json()
    assert "/" not in first["filename"]
    assert first["filename"].isprintable()
    assert upload(narrow, b"content").json()["id"] == first["id"]
    assert narrow.http.get(f"/v1/files/{first['id']}").json()["bytes"] == 7
    assert narrow.http.delete(f"/v1/files/{first['id']}").json()["deleted"]
    assert narrow.http.get(f"/v1/files/{first['id']}").status_code == 404


def test_there_is_room_for_so_many_bytes(narrow):
    sent = [upload(narrow, bytes([n]) * 5000) for n in range(3)]
    assert [one.status_code for one in sent] == [200, 200, 429]
    assert int(sent[-1].headers["retry-after"]) >= 1
    for one in sent[:2]:
        narrow.http.delete(f"/v1/files/{one.json()['id']}")


def test_what_has_no_room_is_not_even_written_out(tmp_path):
    uploads = Uploads(tmp_path, max_file_bytes=500_000, max_bytes=1_000_000, keep_seconds=60)
    with uploads.expecting(None), uploads.expecting(500_000 + AROUND_BYTES):
        uploads.check_room()
        with uploads.expecting(AROUND_BYTES + 1), pytest.raises(RefusedError, match="1,000,001 bytes of"):
            uploads.check_room()
        uploads.check_room()
    uploads.check_room()


def test_a_form_for_which_there_is_no_room_is_refused_before_its_body_comes(narrow):
    held = narrow.server.app.state.hermes.uploads
    head = (
        b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    host, port = narrow.url.removeprefix("http://").split(":")
    with held.expecting(None), held.expecting(None), socket.create_connection((host, int(port))) as one:
        one.settimeout(10)
        one.send(head)  # and nothing of the body
        assert one.recv(4096).startswith(b"HTTP/1.1 429")


@pytest.mark.parametrize(
    "path", ["..%2fserver.secret", "..%2f..%2fevents.sqlite", "file-..%2fx", ".", "file-" + "g" * 40, "%00"]
)
def test_no_path_leads_out_of_the_folder_of_uploads(narrow, path):
    assert narrow.http.get(f"/v1/files/{path}").status_code in (200, 400, 404, 405, 422)
    assert narrow.http.delete(f"/v1/files/{path}").status_code in (400, 404, 405, 422)
    assert (narrow.service.data_dir / "server.secret").exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data"),
        (b"{}", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
    ],
)
def test_a_form_that_is_none_is_refused(narrow, content, kind):
    refused = narrow.http.post("/v1/files", content=content, headers={"Content-Type": kind})
    assert refused.status_code in (400, 422), refused.text
    assert refused.json()["error"]["message"]


def test_more_connections_than_may_be_are_told_when_to_come_again(narrow):
    with following(narrow, 8):
        refused = narrow.http.get("/v1/streams")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_connections")
        assert refused.headers["retry-after"] == "1"
        # a supervisor is not kept out
        assert [narrow.http.get(path).status_code for path in ("/health/live", "/metrics")] == [200, 200]
    time.sleep(0.2)
    assert narrow.http.get("/v1/streams").status_code == 200


def test_files_that_are_too_old_are_deleted(tmp_path):
    now = [1000.0]
    files = Uploads(tmp_path, max_file_bytes=10, max_bytes=100, keep_seconds=60, clock=lambda: now[0])
    old = files.add(BytesIO(b"old"), filename="a")
    left = tmp_path / ".half-written"
    left.write_bytes(b"x")
    os.utime(left, (900, 900))
    now[0] += 61
    files.sweep()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RefusedError, match="there is no file"):
        files.get(old.id)
    files.add(BytesIO(b"new"), filename="b")
    assert len(files.all()) == 1


def test_a_file_that_the_disk_has_no_room_for_is_told_and_leaves_nothing(narrow, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = narrow.service.data_dir / "uploads"
    folder.mkdir(exist_ok=True)
    before = set(folder.iterdir())
    monkeypatch.setattr(type(folder), "replace", full)
    refused = upload(narrow, b"no room")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "disk_failed")
    assert "No space left on device" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"] == "60"
    assert set(folder.iterdir()) == before


def test_as_much_as_may_be_is_taken(narrow):
    whole = b'{"name": "whole"}'.ljust(1000)
    assert narrow.http.post("/v1/streams", content=whole, headers=JSON).status_code == 201
    pieces = (whole[k : k + 100] for k in range(0, 1000, 100))
    assert narrow.http.post("/v1/streams", content=pieces, headers=JSON).status_code == 201
    with following(narrow, 7):
        assert narrow.http.get("/v1/streams").status_code == 200
    open_connections = narrow.server.app.state.hermes.metrics.open_connections
    until(lambda: open_connections._value.get() == 0)


def test_who_has_no_key_yet_sends_little(narrow):
    assert narrow.http.post("/v1/login", content=b" " * 2000, headers=JSON).status_code == 400
    refused = narrow.http.post("/v1/login", content=b" " * 65_537, headers=JSON)
    assert refused.json()["error"]["accepted"] == {"max_bytes": 65_536}


def test_a_cookie_that_is_none_is_none(narrow):
    assert narrow.http.get("/v1/streams", headers={"Cookie": "a/b=c"}).status_code == 200


def test_a_body_has_half_a_minute_and_more_by_what_has_come(monkeypatch):
    now, patiences = [0.0], []

    async def wait_for(received, patience):
        patiences.append(patience)
        return await received

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    pieces = [b"x" * 15 * 4096, *[b""] * 5]
    messages = [{"body": piece, "more_body": True} for piece in pieces] + [{"body": b""}, {"type": "left"}]

    async def receive():
        now[0] += 10.0
        return messages.pop(0)

    async def read() -> dict:
        bounded = gate._bounded(receive, 15 * 4096)
        for _ in range(7):
            await bounded()
        return await bounded()

    assert asyncio.run(read()) == {"type": "left"}
    assert patiences == [30, 30, 25, 15, 5, 0, 0], "a client may leave whenever it wants"


def test_a_body_that_stalls_is_refused(monkeypatch):
    monkeypatch.setattr(gate, "_BODY_SECONDS", 0.0)

    async def receive():
        await asyncio.Event().wait()

    with pytest.raises(RefusedError, match="the body stalled") as refused:
        asyncio.run(gate._bounded(receive, 10)())
    assert refused.value.refusal.status == 408


def uploads_of(folder, now=None, **limits) -> Uploads:
    given = {"max_file_bytes": 10, "max_bytes": 20, "keep_seconds": 60, **limits}
    return Uploads(folder, clock=lambda: now[0], **given) if now else Uploads(folder, **given)


def test_a_file_that_comes_again_takes_no_further_room(tmp_path):
    files = uploads_of(tmp_path)
    files.add(BytesIO(b"a" * 10), filename="a")
    again = files.add(BytesIO(b"b" * 10), filename="b", purpose="vision")
    assert files.add(BytesIO(b"b" * 10), filename="c", purpose="vision").id == again.id
    assert files.get(again.id).purpose == "vision"
    with pytest.raises(RefusedError, match="21 bytes of 20"):
        files.add(BytesIO(b"c"), filename="c")
    with pytest.raises(RefusedError, match="is empty"):
        files.add(BytesIO(b""), filename="d")
    assert len(files.add(BytesIO(b"a" * 10), filename="x" * 300).filename) == 200


def test_what_is_too_old_gives_way_to_what_comes(tmp_path):
    now = [1000.0]
    files = uploads_of(tmp_path, now)
    for name in (b"a", b"b"):
        files.add(BytesIO(name * 10), filename="a")
        now[0] += 1
    assert [one.created_wall_seconds for one in files.all()] == [1001.0, 1000.0]
    now[0] += 100
    files.check_room()
    assert files.all() == ()


def test_what_is_on_its_way_is_left_alone_and_what_has_no_note_goes_with_time(tmp_path):
    files = uploads_of(tmp_path, [1000.0])
    noteless = tmp_path / f"file-{'a' * 40}"
    with files.temporary() as path:
        for one in (path, noteless):
            one.write_bytes(b"x")
            os.utime(one, (990, 990))
        files.sweep()
        assert path.exists()
        assert noteless.exists()


def test_no_id_leads_out_of_the_folder(tmp_path):
    files = uploads_of(tmp_path / "uploads")
    known = files.add(BytesIO(b"a"), filename="a")
    note = (tmp_path / "uploads" / f"{known.id}.json").read_text(encoding="utf-8")
    (tmp_path / "secret.json").write_text(json.dumps({**json.loads(note), "id": "../secret"}))
    with pytest.raises(RefusedError, match="there is no file"):
        files.path("../secret")
