"""OpenAI's own client, unchanged: streams, pictures, files; whole and in pieces; what is refused."""

from __future__ import annotations

import base64
import threading
import time

import httpx
import openai
import pytest
from tests.server.served import jpeg, picture
from tests.waiting import until

QUESTION = "what is on screen now?"


@pytest.fixture(scope="module")
def client(served):
    served.open_watched("door", 6)
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def shown(url: str, *, kind: str = "video_url", text: str = QUESTION) -> list[dict]:
    return [{"role": "user", "content": [{"type": kind, kind: {"url": url}}, {"type": "text", "text": text}]}]


def data_url(content: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def ask(client, messages, **options):
    return client.chat.completions.create(model="tiny", messages=messages, **options)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from hermes_stream.video import write_video

    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, [picture(n) for n in range(12)], fps=4)
    return path


def test_models_are_listed(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_stream_is_asked_by_its_name(client, served):
    answer = ask(client, shown("stream://door"))
    own = served.http.post("/v1/streams/door/ask", json={"question": QUESTION}).json()
    assert answer.choices[0].message.content == own["text"]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == own["num_tokens"]
    assert answer.usage.prompt_tokens > 50
    assert answer.hermes["evidence"]


def test_pieces_join_to_the_answer_and_usage_comes_last(client):
    whole = ask(client, shown("stream://door")).choices[0].message.content
    chunks = list(ask(client, shown("stream://door"), stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_logprobs_are_as_many_as_tokens(client):
    answer = ask(client, shown("stream://door"), logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens)
    chunks = ask(client, shown("stream://door"), logprobs=True, stream=True)
    told = [t for chunk in chunks for c in chunk.choices if c.logprobs for t in c.logprobs.content]
    assert [token.token for token in told] == [token.token for token in tokens]


def test_a_picture_may_be_sent_along(client, served):
    before = {one["name"] for one in served.http.get("/v1/streams?closed=true").json()["data"]}
    assert ask(client, shown(data_url(jpeg()), kind="image_url")).choices[0].message.content
    after = {one["name"] for one in served.http.get("/v1/streams?closed=true").json()["data"]}
    assert before == after  # the stream that watched it is gone


def test_a_video_is_sent_along_or_uploaded(client, clip):
    sent = ask(client, shown(data_url(clip.read_bytes(), "video/mp4"))).choices[0].message.content
    uploaded = client.files.create(file=clip, purpose="user_data")
    assert ask(client, shown(uploaded.id)).choices[0].message.content == sent
    part = [{"type": "file", "file": {"file_id": uploaded.id}}, {"type": "text", "text": QUESTION}]
    assert ask(client, [{"role": "user", "content": part}]).choices[0].message.content == sent
    assert client.files.delete(uploaded.id).deleted
    with pytest.raises(openai.NotFoundError):
        ask(client, shown(uploaded.id))


def test_a_video_is_watched_whole_and_in_order(client, served, clip):
    content = [
        {"type": "image_url", "image_url": {"url": data_url(jpeg(1))}},
        {"type": "video_url", "video_url": {"url": data_url(clip.read_bytes(), "video/mp4")}},
        {"type": "image_url", "image_url": {"url": data_url(jpeg(2))}},
        {"type": "text", "text": QUESTION},
    ]
    extra = {"hermes": {"fps": 4, "num_moments": 20}}
    answer = ask(client, [{"role": "user", "content": content}], extra_body=extra)
    seconds = [moment["seconds"] for moment in answer.hermes["evidence"]]
    assert max(seconds) <= 1 + 11 / 4 + 1


def test_earlier_turns_go_before_the_question(client, served):
    messages = [
        {"role": "system", "content": "Answer in two words."},
        *shown("stream://door", text="what came first?"),
        {"role": "assistant", "content": "a circle"},
        {"role": "user", "content": "and now?"},
    ]
    assert ask(client, messages).choices[0].message.content is not None
    asked = "Answer in two words.\n\nUser: what came first?\nAssistant: a circle\nUser: and now?"

    def newest():
        return served.http.get("/v1/questions", params={"limit": 1}).json()["data"][0]

    until(lambda: newest()["question"] == asked)  # it is recorded soon


def test_options_are_chosen_from(client):
    extra = {"hermes": {"options": ["red square", "blue circle"]}}
    answer = ask(client, shown("stream://door"), extra_body=extra)
    assert answer.choices[0].message.content in ("red square", "blue circle")


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"frequency_penalty": 1.0}, "frequency_penalty"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"extra_body": {"colour": "red"}}, "colour"),
    ],
)
def test_what_would_not_be_done_is_refused(client, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, shown("stream://door"), **options)
    assert refused.value.body["param"] == param
    assert refused.value.body["code"] == "unsupported_parameter"


def test_what_does_nothing_here_is_taken(client):
    ask(client, shown("stream://door"), user="me", metadata={"a": "b"}, store=False, n=1, presence_penalty=0)


@pytest.mark.parametrize(
    ("messages", "error", "code"),
    [
        (shown("stream://nobody"), openai.NotFoundError, "not_found"),
        ([{"role": "user", "content": "hello?"}], openai.BadRequestError, "no_video"),
        (shown("stream://door", text=" "), openai.BadRequestError, "no_question"),
        (
            [*shown("stream://door"), {"role": "assistant", "content": "x"}],
            openai.BadRequestError,
            "no_question",
        ),
        (shown("stream://door") + shown("stream://yard"), openai.BadRequestError, "several_videos"),
        (shown("https://10.0.0.1/a.mp4"), openai.PermissionDeniedError, "source_refused"),
        (shown("file:///etc/passwd"), openai.PermissionDeniedError, "source_refused"),
        (shown("../../etc/passwd"), openai.NotFoundError, "file_not_found"),
        (shown("data:image/jpeg;base64,@@", kind="image_url"), openai.BadRequestError, "invalid_data_url"),
        (shown(data_url(b"GIF"), kind="image_url"), openai.BadRequestError, "invalid_video"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_openai_errors(client, messages, error, code, stream):
    with pytest.raises(error) as refused:
        list(ask(client, messages, stream=stream))
    assert refused.value.body["code"] == code


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-5", messages=shown("stream://door"))
    assert refused.value.body["accepted"] == ["tiny"]


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"])
def test_no_folder_of_the_server_is_named_in_a_refusal(served, content):
    url = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    parts = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "x"}]
    body = {"model": "tiny", "messages": [{"role": "user", "content": parts}]}
    refused = served.http.post("/v1/chat/completions", json=body)
    assert refused.status_code == 400
    assert str(served.service.data_dir) not in refused.text
    assert "uploads" not in refused.text


def test_more_tokens_than_there_is_room_for_are_as_many_as_there_are(served):
    served.http.post("/v1/streams", json={"name": "room", "fps": 1})
    headers = {"Content-Type": "image/jpeg"}
    served.http.post("/v1/streams/room/frames", content=jpeg(0), headers=headers, params={"pts_us": 0})
    for asked in (247, 4096):
        question = {"question": "what is on screen now?", "max_new_tokens": asked}
        answered = served.http.post("/v1/streams/room/ask", json=question)
        assert answered.status_code == 200, answered.text


def test_a_client_that_leaves_while_its_pictures_get_a_stream_leaves_none_behind(served, monkeypatch):
    opens, begun, opened = served.service.open_stream, threading.Event(), threading.Event()

    def slowly(name, **options):
        begun.set()
        time.sleep(0.5)
        try:
            return opens(name, **options)
        finally:
            opened.set()

    monkeypatch.setattr(served.service, "open_stream", slowly)
    content = {"model": "tiny", "messages": shown(data_url(jpeg()), kind="image_url")}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/v1/chat/completions", json=content, timeout=0.2)
    assert begun.is_set()
    assert opened.wait(10)
    until(lambda: not [one for one in served.service.streams(temporary=True) if one.is_temporary])


def test_more_pictures_than_may_be_are_refused(client, served, monkeypatch):
    state = served.server.app.state.hermes
    few = state.settings.model_copy(update={"max_chat_frames": 2})
    parts = [{"type": "image_url", "image_url": {"url": data_url(jpeg(n))}} for n in range(3)]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]
    from dataclasses import replace

    monkeypatch.setattr(served.server.app.state, "hermes", replace(state, settings=few))
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages)
    assert refused.value.body["code"] == "too_many_pictures"
