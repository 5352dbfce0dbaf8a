"""Looking back over HTTP: search, reports, clips, and questions that come back."""

from __future__ import annotations

import time

import pytest

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module", autouse=True)
def door(served):
    served.open_watched("door", 8, fps=1.0)
    answer = served.http.post("/v1/streams/door/ask", json={"question": QUESTION}).json()
    settled(served)
    return answer


def settled(served):
    deadline = time.monotonic() + 10
    while not served.http.get("/v1/events?kind=answered").json()["data"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_answer_is_found_by_its_words_with_its_picture(served, door):
    found = served.http.get("/v1/search", params={"q": "screen now", "stream": "door"}).json()
    (one,) = found["results"]
    assert one["kind"] == "answered"
    assert one["stream_seconds"] == 7
    start, end = one["snippet"]["marks"][0]
    assert one["snippet"]["text"][start:end] == "screen"
    assert served.http.get(one["picture_url"]).headers["content-type"] == "image/jpeg"
    assert found["next"] is None
    assert served.http.get("/v1/search", params={"q": "-screen screen"}).json()["results"] == []
    assert served.http.get("/v1/search", params={"from": time.time() + 9}).json()["results"] == []
    page = served.http.get("/v1/search", params={"limit": 1, "kind": ["answered", "gap"]}).json()
    assert len(page["results"]) == 1


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"q": "..."}, 400),
        ({"q": '"'}, 400),
        ({"q": "x" * 2000}, 422),
        ({"q": "a\0b"}, 200),
        ({"q": "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace") or "a"}, 400),
        ({"q": "NEAR(a b) OR c:d*"}, 200),
        ({"stream": "nobody"}, 404),
        ({"limit": 0}, 422),
        ({"from": "nan"}, 422),
        ({"before": 2**70}, 422),
        ({"color": "red"}, 422),
    ],
)
def test_bad_searches_are_told(served, params, status):
    assert served.http.get("/v1/search", params=params).status_code == status


def test_a_report_is_a_document_or_a_page(served):
    document = served.http.post("/v1/reports", json={"streams": ["door"]}).json()
    assert document["schema"] == "hermes.report/1"
    (stream,) = document["streams"]
    assert stream["source"] == "door"
    assert stream["answers"][0]["question"] == QUESTION
    assert stream["answers"][0]["picture"].startswith("/v1/pictures/")
    page = served.http.post("/v1/reports", json={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "sandbox" in page.headers["content-security-policy"]
    assert "data:image/jpeg;base64," in page.text
    assert served.http.post("/v1/reports", json={"streams": ["nobody"]}).status_code == 404
    assert served.http.post("/v1/reports", json={"from": 2, "to": 1}).status_code == 400
    assert served.http.post("/v1/reports", json={"format": "pdf"}).status_code == 422
    for wrong in ({"max_chapters": 0}, {"min_chapter_seconds": 0}):
        assert served.http.post("/v1/reports", json=wrong).status_code == 422


def test_a_clip_is_a_video_and_what_is_not_kept_says_why(served):
    made = served.http.get("/v1/streams/door/clip", params={"from": 2, "to": 6})
    assert made.status_code == 200, made.text
    assert made.headers["content-type"] == "video/mp4"
    assert made.headers["x-made-from"] in ("journal", "pictures")
    assert made.content[4:8] == b"ftyp"
    gone = served.http.get("/v1/streams/door/clip", params={"from": 900, "to": 901})
    assert gone.status_code == 404
    assert "nothing is kept of stream 'door'" in gone.json()["error"]["message"]
    for wrong in ({"from": 3, "to": 3}, {"from": 0, "to": 5000}):
        assert served.http.get("/v1/streams/door/clip", params=wrong).status_code == 400
    assert served.http.get("/v1/streams/nobody/clip", params={"from": 0, "to": 1}).status_code == 404
    assert served.http.get("/v1/streams/door/clip").status_code == 422


def test_a_question_comes_back_where_the_model_is_not_sure(served, door):
    body = {"question": QUESTION, "clarify_below": 1.0}
    asked = served.http.post("/v1/streams/door/ask", json=body).json()
    assert asked["clarification"]
    assert asked["guess"] == door["text"]
    assert asked["text"].endswith("?")
    assert asked["confidence"] == pytest.approx(door["confidence"], abs=1e-4)
    assert not door["clarification"]
    assert door["guess"] is None
    chat = {
        "model": "tiny",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "video_url", "video_url": {"url": "stream://door"}},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ],
        "hermes": {"clarify_below": 1.0},
    }
    completion = served.http.post("/v1/chat/completions", json=chat).json()
    assert completion["hermes"]["clarification"]
    assert completion["hermes"]["guess"] == door["text"]
    assert completion["choices"][0]["message"]["content"] == asked["text"]
    plain = served.http.post("/v1/streams/door/ask", json={"question": QUESTION, "clarify_below": 2})
    assert plain.status_code == 422
