"""Which stream a request is about."""

from __future__ import annotations

import json

import pytest

from hermes_stream.cluster.addressing import stream_of_body, stream_of_path
from hermes_stream.server.access.signing import Signer


@pytest.mark.parametrize(
    ("path", "query", "stream"),
    [
        ("/v1/streams/door", b"", "door"),
        ("/v1/streams/door/ask", b"", "door"),
        ("/v1/streams/door%2D2/watches/3/scores", b"", "door-2"),
        ("/v1/streaming/sessions/session-1/frame", b"", "session-1"),
        ("/v1/realtime", b"stream=door&model=tiny", "door"),
        ("/v1/realtime", b"stream=door&resume=e30.x", "door"),
        ("/v1/realtime", b"model=tiny", None),
        ("/v1/realtime", b"resume=%00%ff.x", None),
        ("/v1/streams", b"", None),
        ("/v1/events", b"stream=door", None),
    ],
)
def test_the_address_says_it(path, query, stream):
    assert stream_of_path(path, query) == stream


def test_a_resume_token_says_it():
    token = Signer(b"x" * 32).sign("realtime", {"stream": "door"}, seconds=60)
    assert stream_of_path("/v1/realtime", f"resume={token}".encode()) == "door"


def test_the_body_says_it():
    content = [{"type": "video_url", "video_url": {"url": "stream://door.2"}}]
    chat = json.dumps({"messages": [{"role": "user", "content": content}]}).encode()
    assert stream_of_body("/v1/chat/completions", chat) == "door.2"
    assert stream_of_body("/v1/chat/completions", b"{}") is None
    assert stream_of_body("/v1/streams", b'{"name": "door"}') == "door"
    for malformed in (b"", b"[", b"[]", b'{"name": 3}', b"\xff"):
        assert stream_of_body("/v1/streams", malformed) is None
