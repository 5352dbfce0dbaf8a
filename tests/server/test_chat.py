"""OpenAI's own client, unchanged: streams, pictures, files; whole and in pieces; what is refused."""

from __future__ import annotations

import base64
import threading
import time
from types import SimpleNamespace

import httpx
import openai
import pytest
from tests.server.served import jpeg, picture
from tests.waiting import until

from hermes_stream.server import ServerSettings
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.media_work import Stop
from hermes_stream.server.openai.media import frames_of, stream_of
from hermes_stream.server.openai.requests import ChatRequest, check_parameters
from hermes_stream.server.openai.responses import Completion, finish_reason
from hermes_stream.server.openai.watching import _options
from hermes_stream.server.uploads import Uploads
from hermes_stream.stream.answer import TokenLogprob

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

    # an attribute of this state would be gone afterwards, and with it the server of later tests
    monkeypatch.setitem(served.server.app.state._state, "hermes", replace(state, settings=few))
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages)
    assert refused.value.body["code"] == "too_many_pictures"


def request_of(*content: dict, **more) -> ChatRequest:
    user = {"role": "user", "content": [*content, {"type": "text", "text": QUESTION}]}
    return ChatRequest.model_validate({"model": "tiny", "messages": [user], **more})


def part(url: str, kind: str = "image_url") -> dict:
    return {"type": kind, kind: {"url": url}}


@pytest.fixture
def state(tmp_path):
    uploads = Uploads(tmp_path, max_file_bytes=10**6, max_bytes=10**7, keep_seconds=60)
    return SimpleNamespace(settings=ServerSettings(max_chat_frames=4), uploads=uploads)


def frames(state, *content: dict, fps: float | None = None, stop: Stop | None = None) -> list:
    return list(frames_of(state, request_of(*content).media, fps=fps, stop=stop or Stop()))


def test_a_stream_and_pictures_are_not_asked_about_at_once():
    door, shot = part("stream://door", "video_url"), part(data_url(jpeg()))
    assert stream_of(request_of(door, door).media) == "door"
    assert stream_of(request_of(shot, shot).media) is None
    for content in ((door, shot), (shot, door), (door, part("stream://yard"))):
        with pytest.raises(RefusedError, match="ask about one stream, or pictures"):
            stream_of(request_of(*content).media)


def test_pictures_and_videos_are_on_one_clock_and_as_many_as_may_be(state, clip):
    shots = [part(data_url(jpeg(k))) for k in range(4)]
    assert [one.pts_seconds for one in frames(state, *shots)] == [0.0, 1.0, 2.0, 3.0]
    video = data_url(clip.read_bytes(), "video/mp4")
    seen = frames(state, shots[0], part(video, "video_url"), fps=1.0)
    assert [one.pts_seconds for one in seen] == [0.0, 1.0, 2.0, 3.0]
    # of a video that is given as a picture, the first one is taken
    assert [one.pts_seconds for one in frames(state, part(video), shots[0])] == [0.0, 1.0]
    stop = Stop()
    stop.set()
    assert frames(state, *shots, stop=stop) == []
    with pytest.raises(RefusedError, match="more than 4 pictures"):
        frames(state, *shots, shots[0])


def test_a_picture_of_too_many_pixels_is_refused(state):
    few = SimpleNamespace(**vars(state) | {"settings": ServerSettings(max_picture_pixels=100)})
    with pytest.raises(RefusedError, match="cannot be read"):
        frames(few, part(data_url(jpeg())))


def test_a_file_is_named_by_its_id_with_or_without_a_word_before_or_sent_along(state, clip):
    with clip.open("rb") as file:
        known = state.uploads.add(file, filename="clip.mp4")
    for url in (known.id, f"file:{known.id}"):
        assert len(frames(state, part(url))) == 1
    sent = {"type": "file", "file": {"file_data": data_url(clip.read_bytes(), "video/mp4")}}
    assert len(frames(state, sent, fps=1.0)) == 3
    with pytest.raises(RefusedError, match="names no file"):
        frames(state, {"type": "file", "file": {}})
    with pytest.raises(RefusedError, match="no data address"):
        frames(state, part("data:image/jpeg,abc"))


def test_rules_go_before_a_question_without_turns():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Speak French."},
        {"role": "user", "content": "what is it?"},
    ]
    asked = ChatRequest.model_validate({"model": "tiny", "messages": messages})
    assert asked.question == "Be brief.\n\nSpeak French.\n\nwhat is it?"


def test_stop_texts_are_one_or_several():
    assert [request_of(stop=stop).stop_texts for stop in ("two words", ["a", "b"], None)] == [
        ("two words",),
        ("a", "b"),
        (),
    ]


def test_what_says_only_what_is_done_anyway_is_taken():
    check_parameters(
        request_of(
            tool_choice="auto",
            tools=[],
            response_format={"type": "text"},
            logit_bias={},
            parallel_tool_calls=True,
            reasoning_effort="none",
        )
    )


def test_what_is_said_of_a_video_is_of_its_stream():
    hermes = {"fps": 3.0, "policy": "window", "budget_tokens": 77}
    assert _options(request_of(hermes=hermes)) == hermes
    assert _options(request_of()) == {}


def test_an_answer_that_was_cut_says_so_and_what_was_not_asked_for_is_not_told(client):
    cut = ask(client, shown("stream://door"), max_tokens=1)
    assert cut.choices[0].finish_reason == finish_reason(SimpleNamespace(finish_reason="length"))
    assert cut.choices[0].finish_reason == "length"
    assert cut.choices[0].logprobs is None
    assert finish_reason(SimpleNamespace(finish_reason="abandoned")) == "stop"
    completion = Completion(id="a", model="tiny", chat=SimpleNamespace(decode=lambda ids: "x"))
    never = TokenLogprob(token_id=1, logprob=-float("inf"), top=())
    assert completion.logprobs([never])["content"][0]["logprob"] == -9999.0
