"""An answer that was not seen: over HTTP, in chat completions and for the client."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from tests.server.served import serving

from hermes_stream.client import Client

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module")
def served_unseen(model, tmp_path_factory):
    model = copy.copy(model)
    model.card = replace(model.card, name="small", unseen_at=0.0)
    with serving(tmp_path_factory.mktemp("service"), model=model) as one:
        one.open_watched("door")
        yield one


def test_an_answer_says_that_it_was_not_seen(served_unseen):
    body = {"question": QUESTION, "options": ["red", "blue"], "allow_unseen": True}
    said = served_unseen.http.post("/v1/streams/door/ask", json=body).json()
    assert said["unseen"]
    assert said["text"] == "not seen"
    assert said["option_index"] is None
    assert 0 <= said["unseen_score"] <= 1
    plain = served_unseen.http.post("/v1/streams/door/ask", json={**body, "allow_unseen": False}).json()
    assert (plain["unseen"], plain["unseen_score"]) == (False, None)
    assert plain["text"] in body["options"]


def test_a_client_and_chat_completions_ask_for_it(served_unseen):
    with Client(served_unseen.url) as client:
        said = client.ask("door", QUESTION, allow_unseen=True)
    assert said.unseen
    assert said.unseen_score is not None
    content = [
        {"type": "video_url", "video_url": {"url": "stream://door"}},
        {"type": "text", "text": QUESTION},
    ]
    messages = [{"role": "user", "content": content}]
    chat = {"model": "small", "messages": messages, "hermes": {"allow_unseen": True}}
    completion = served_unseen.http.post("/v1/chat/completions", json=chat).json()
    assert completion["choices"][0]["message"]["content"] == "not seen"
    assert completion["hermes"]["unseen"]


def test_an_option_that_says_it_already_is_told(served_unseen):
    body = {"question": QUESTION, "options": ["red", "not seen"], "allow_unseen": True}
    told = served_unseen.http.post("/v1/streams/door/ask", json=body)
    assert told.status_code == 400
    assert "leave it out" in told.json()["error"]["message"]
