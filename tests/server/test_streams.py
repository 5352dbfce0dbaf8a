"""Streams, questions, pictures, snapshots and memory over HTTP."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from tests.checkpoints import random_frames
from tests.waiting import until

from hermes_stream.server import previews
from hermes_stream.server.previews import Previews
from hermes_stream.video.jpeg import decode_jpeg

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module", autouse=True)
def door(served):
    served.open_watched("door", 6)


def events_of(text: str) -> list[tuple[str | None, str]]:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n") if line) for block in text.split("\n\n")]
    return [(block.get("event"), block["data"]) for block in blocks if "data" in block]


def test_a_stream_is_opened_listed_changed_and_closed(served):
    http = served.http
    assert http.post("/v1/streams", json={"name": "yard", "budget_tokens": 60, "fps": 2}).status_code == 201
    again = http.post("/v1/streams", json={"name": "yard"})
    assert again.status_code == 201
    assert again.json()["budget_tokens"] == 60
    assert {"door", "yard"} <= {one["name"] for one in http.get("/v1/streams").json()["data"]}
    assert http.patch("/v1/streams/yard", json={"name": "garden"}).json()["name"] == "garden"
    assert http.delete("/v1/streams/garden").status_code == 204
    closed = {one["name"]: one["state"] for one in http.get("/v1/streams?closed=true").json()["data"]}
    assert closed["garden"] == "closed"
    assert http.delete("/v1/streams/garden?delete=true").status_code == 204
    assert http.get("/v1/streams/garden").status_code == 404


def test_a_stream_begins_with_the_memory_of_a_snapshot(served):
    http = served.http
    number = http.post("/v1/streams/door/snapshots").json()["id"]
    opened = http.post("/v1/streams", json={"name": "later", "from_snapshot": number})
    assert opened.status_code == 201, opened.text
    assert opened.json()["num_frames"] == http.get("/v1/streams/door").json()["num_frames"]
    taken = http.post("/v1/streams", json={"name": "later", "from_snapshot": number})
    assert taken.status_code == 409
    none = http.post("/v1/streams", json={"name": "none", "from_snapshot": 10_000})
    assert (none.status_code, none.json()["error"]["param"]) == (404, "from_snapshot")
    refused = http.post("/v1/streams", json={"name": "other", "from_snapshot": number, "chunk_frames": 3})
    assert refused.status_code == 400
    assert http.get("/v1/streams/other").status_code == 404


def test_another_policy_needs_its_name(served):
    refused = served.http.patch("/v1/streams/door", json={"budget_tokens": 60})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "policy"
    changed = served.http.patch("/v1/streams/door", json={"policy": "window", "budget_tokens": 200})
    assert (changed.json()["policy"], changed.json()["budget_tokens"]) == ("window", 200)
    back = served.http.patch("/v1/streams/door", json={"policy": "hermes"})
    assert back.status_code == 200, back.text
    assert served.http.patch("/v1/streams/door", json={"policy": "nothing"}).status_code == 400


def test_an_answer_has_latencies_and_evidence_with_pictures(served):
    answer = served.http.post("/v1/streams/door/ask", json={"question": QUESTION}).json()
    assert answer["text"]
    assert 0 < answer["confidence"] <= 1
    assert answer["seen_until_seconds"] == 5
    assert 0 < answer["ttft_seconds"] <= answer["ttft_with_pending_seconds"]
    shown = served.http.get(answer["evidence"][0]["picture_url"])
    assert shown.headers["content-type"] == "image/jpeg"
    assert decode_jpeg(shown.content).shape[2] == 3


def test_options_are_chosen_from(served):
    body = {"question": "what is it?", "options": ["red square", "blue circle"]}
    answer = served.http.post("/v1/streams/door/ask", json=body).json()
    assert answer["text"] == body["options"][answer["option_index"]]


@pytest.mark.parametrize("way", [{"json": {"question": QUESTION, "stream": True}}, {}])
def test_pieces_of_an_answer_come_before_the_answer(served, way):
    request = {"json": {"question": QUESTION}, "headers": {"Accept": "text/event-stream"}, **way}
    sent = served.http.post("/v1/streams/door/ask", **request)
    assert sent.headers["content-type"].startswith("text/event-stream")
    events = events_of(sent.text)
    pieces = [json.loads(content)["text"] for kind, content in events if kind == "text"]
    assert events[-1][0] == "answer"
    answer = json.loads(events[-1][1])
    assert "".join(pieces) == answer["text"]
    assert answer["ttft_seconds"] > 0
    assert answer["evidence"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"question": "x" * 5000}, 400),
        ({"question": "  "}, 400),
        ({"question": ""}, 422),
        ({"question": QUESTION, "options": ["a", "a"]}, 400),
        ({"question": QUESTION, "temperature": -1}, 422),
        ({"question": QUESTION, "seed": 1 << 80}, 422),
        ({"query": QUESTION}, 422),
    ],
)
def test_a_question_that_is_refused_is_refused_before_anything_streams(served, body, status):
    refused = served.http.post("/v1/streams/door/ask", json={**body, "stream": True})
    assert refused.status_code == status, refused.text
    assert refused.json()["error"]["message"]


def test_a_stream_that_has_shown_nothing_is_not_asked(served):
    served.http.post("/v1/streams", json={"name": "dark"})
    refused = served.http.post("/v1/streams/dark/ask", json={"question": QUESTION})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no_video")
    assert refused.headers["x-should-retry"] == "false"
    assert served.http.get("/v1/streams/dark/preview").status_code == 409


def test_the_newest_picture_is_shown(served):
    shown = served.http.get("/v1/streams/door/preview")
    assert float(shown.headers["x-pts-seconds"]) == 5
    assert decode_jpeg(shown.content).shape[2] == 3


def test_a_memory_is_saved_restored_and_made_a_second_stream_of(served):
    http = served.http
    saved = http.post("/v1/streams/door/snapshots")
    assert saved.status_code == 201
    number = saved.json()["id"]
    assert number in {one["id"] for one in http.get("/v1/streams/door/snapshots").json()["data"]}
    forked = http.post("/v1/streams/door/fork", json={"name": "twin", "snapshot": number})
    assert forked.status_code == 201, forked.text
    asked = [
        http.post(f"/v1/streams/{one}/ask", json={"question": QUESTION}).json() for one in ("door", "twin")
    ]
    assert asked[0]["text"] == asked[1]["text"]
    assert http.post(f"/v1/streams/door/snapshots/{number}/restore").json()["name"] == "door"
    kept = [one["id"] for one in http.get("/v1/streams/door/snapshots").json()["data"]]
    assert http.delete(f"/v1/streams/door/snapshots/{kept[0]}").status_code == 204
    assert http.post(f"/v1/streams/door/snapshots/{kept[0]}/restore").status_code == 404


def test_a_memory_tells_its_moments(served):
    memory = served.http.get("/v1/streams/door/memory").json()
    assert memory["layers"][0]["seconds"] == [0, 1, 2, 3, 4, 5]
    assert {"sensory", "working", "long_term"} == {layer["tier"] for layer in memory["layers"]}
    assert served.http.get(memory["pictures"][0]["picture_url"]).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["../events.sqlite", "..%2f..%2fevents.sqlite", "/etc/passwd", "%2fetc%2fpasswd", "x.jpg", "a%00b"],
)
def test_a_picture_has_no_other_path(served, path):
    refused = served.http.get(f"/v1/pictures/{path}")
    assert refused.status_code in (400, 404)
    assert "SQLite" not in refused.text


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("/etc/passwd", 403),
        ("file:///etc/passwd", 403),
        ("rtsp://10.0.0.1/x", 403),
        ("file-" + "0" * 40, 404),
    ],
)
def test_sources_of_the_network_must_be_allowed(served, source, status):
    refused = served.http.post("/v1/streams", json={"name": "spy", "source": source})
    assert refused.status_code == status, refused.text
    assert served.http.get("/v1/streams/spy").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/streams", 405),
        ("GET", "/v1/streams/none", 404),
        ("GET", "/v1/streams/a%2fb", 404),
    ],
)
def test_errors_have_one_shape(served, method, path, status):
    refused = served.http.request(method, path)
    assert refused.status_code == status
    assert set(refused.json()["error"]) >= {"type", "message", "code", "param"}
    assert refused.headers["x-request-id"]


def test_all_methods_of_an_address_are_named(served):
    assert served.http.put("/v1/streams", json={}).headers["allow"] == "GET, POST"


def test_a_body_that_is_no_json_is_told(served):
    refused = served.http.post("/v1/streams", content=b"{", headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


def test_an_uploaded_file_is_a_source(served, tmp_path):
    from tests.server.served import picture

    from hermes_stream.video import write_video

    path = tmp_path / "a.mp4"
    write_video(path, [picture(n) for n in range(16)], fps=4)
    with path.open("rb") as file:
        uploaded = served.http.post("/v1/files", files={"file": ("../../a.mp4", file)}).json()
    assert uploaded["filename"] == "a.mp4"
    masked = {"pace": "fast", "privacy_mask": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}
    body = {"name": "clip", "source": uploaded["id"], "fps": 4, "source_options": masked}
    opened = served.http.post("/v1/streams", json=body)
    assert opened.status_code == 201, opened.text
    deadline = time.monotonic() + 10
    while (now := served.http.get("/v1/streams/clip").json())["num_frames"] < 16:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    assert now["dropped"] == {"decode": 0, "ring": 0, "engine": 0}
    shown = decode_jpeg(served.http.get("/v1/streams/clip/preview").content)
    assert shown.max() < 20  # the mask covers all of it
    served.http.delete("/v1/streams/clip?delete=true")


def test_the_record_of_questions_is_listed(served):
    served.http.post("/v1/streams/door/ask", json={"question": "how many?"})

    def listed():
        return served.http.get("/v1/questions", params={"stream": "door", "limit": 5}).json()["data"]

    until(lambda: listed()[0]["question"] == "how many?")  # it is recorded soon
    assert {one["stream"] for one in listed()} == {"door"}


def test_a_question_waits_for_its_evidence(served, monkeypatch):
    from hermes_stream.server import asking

    body = {"question": "what colour was the first circle?", "wait_seconds": 0.2}
    monkeypatch.setattr(asking, "_STILL_SECONDS", 0.3)
    until = {"until": "was there a green circle?"}
    still = served.http.post("/v1/streams/door/ask", json={**body, **until}).json()
    assert (still["finish_reason"], still["text"]) == ("abandoned", "")  # no frame came
    refused = served.http.post("/v1/streams/door/ask", json={"question": QUESTION, **until})
    assert refused.status_code == 422 or refused.status_code == 400
    assert "wait_seconds" in refused.text
    assert served.http.post("/v1/streams/door/ask", json={**body, "wait_seconds": 0}).status_code in (
        400,
        422,
    )


def test_a_picture_is_made_once_for_all_who_look_and_the_newest_is_shown(monkeypatch):
    made, encode = [], previews.encode_jpeg
    monkeypatch.setattr(previews, "encode_jpeg", lambda *a, **k: made.append(a) or encode(*a, **k))
    frames = random_frames(3)
    shown = {"door": frames[0], "yard": frames[0], "dark": None}
    kept = Previews(SimpleNamespace(preview=shown.get))
    assert kept.newest("dark") is None
    first = kept.newest("door")
    assert kept.newest("door") is first
    assert kept.newest("door", after_seconds=0.0) is None
    shown["door"] = frames[1]
    assert kept.newest("door", after_seconds=0.0).pts_seconds == 1.0
    assert len(made) == 2
    monkeypatch.setattr(previews, "_MAX_KEPT", 2)
    kept.newest("yard")
    shown["door"] = frames[2]
    kept.newest("door")  # of two kept, yard's is the one nobody has looked at for longest
    shown["hall"] = frames[0]
    kept.newest("hall")
    assert list(kept._made) == ["door", "hall"]
