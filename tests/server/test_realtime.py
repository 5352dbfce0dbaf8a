"""OpenAI's Realtime client, unchanged: pictures and questions in, answers out; gone and come back."""

from __future__ import annotations

import asyncio
import base64
import gc
import json

import openai
import pytest
from tests.server.served import jpeg
from tests.waiting import until as wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hermes_stream.server.realtime.events import new_id
from hermes_stream.server.realtime.leases import is_leased

# openai's client opens its socket in a way that newer websockets packages warn of
pytestmark = pytest.mark.filterwarnings("ignore:connect.* must be used as a context:DeprecationWarning")
QUESTION = "what is on screen now?"
US = 1_000_000


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        yield client


def image(number: int, **hermes) -> dict:
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg(number)).decode()}"
    part = {"type": "input_image", "image_url": url, **({"hermes": hermes} if hermes else {})}
    return {"type": "message", "role": "user", "content": [part]}


def question(text: str = QUESTION) -> dict:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def until(connection, kind: str) -> list:
    events = []
    while not events or events[-1].type != kind:
        events.append(connection.recv())
        assert events[-1].type != "error" or kind == "error", events[-1]
    return events


def show_and_ask(connection, count: int = 3) -> list:
    for number in range(count):
        connection.conversation.item.create(item=image(number, pts_us=number * US))
        until(connection, "hermes.frame")
    connection.conversation.item.create(item=question())
    connection.response.create()
    return until(connection, "response.done")


def test_pictures_are_shown_and_a_question_is_answered(client):
    with client.realtime.connect(model="tiny") as connection:
        created = connection.recv()
        assert (created.type, created.session.hermes["stream"]) == ("session.created", None)
        connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert connection.recv().type == "session.updated"
        events = show_and_ask(connection)
        kinds = [event.type for event in events]
        order = (
            *("response.created", "response.output_item.added", "response.content_part.added"),
            *("response.output_text.delta", "response.output_text.done", "response.content_part.done"),
            *(
                "conversation.item.added",
                "conversation.item.done",
                "response.output_item.done",
                "response.done",
            ),
        )
        places = [len(kinds) - 1 - kinds[::-1].index(kind) for kind in order]
        assert places == sorted(places)
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        done = events[-1].response
        assert (done.status, done.output[0].content[0].text) == ("completed", text)
        assert done.hermes["evidence"]
        assert done.hermes["ttft_seconds"] > 0


def test_a_stream_that_is_there_is_asked(client, served):
    served.open_watched("door", 4)
    with client.realtime.connect(model="tiny", extra_query={"stream": "door"}) as connection:
        assert connection.recv().session.hermes["stream"] == "door"
        connection.conversation.item.create(item=question())
        connection.response.create()
        assert until(connection, "response.done")[-1].response.status == "completed"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("{", "invalid_event"),
        ({"type": "input_audio_buffer.append", "audio": "AA=="}, "invalid_event"),
        ({"type": "response.create", "event_id": "mine"}, "no_video"),
        ({"type": "response.cancel", "response_id": "resp_1"}, "response_not_found"),
        ({"type": "conversation.item.delete", "item_id": "item_1"}, "item_not_found"),
        ({"type": "session.update", "session": {"hermes": {"colour": "red"}}}, "invalid_event"),
        ({"type": "session.update", "session": {"hermes": {"stream": "nobody"}}}, "not_found"),
        ({"type": "conversation.item.create", "item": {**image(0), "content": [
            {"type": "input_image", "image_url": "https://a.example/b.jpg"}]}}, "invalid_picture"),
        ({"type": "conversation.item.create", "item": {**image(0), "content": [
            {"type": "input_image", "image_url": "data:image/jpeg;base64,AAAA"}]}}, "invalid_picture"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_the_session_goes_on(served, event, code):
    with connect(served.ws + "/v1/realtime") as socket:
        socket.recv()
        socket.send(event if isinstance(event, str) else json.dumps(event))
        told = json.loads(socket.recv())
        assert (told["type"], told["error"]["code"]) == ("error", code)
        assert told["error"]["event_id"] == (event.get("event_id") if isinstance(event, dict) else None)
        socket.send(json.dumps({"type": "session.update", "session": {}}))
        assert json.loads(socket.recv())["type"] == "session.updated"


def test_a_client_that_comes_back_finds_its_stream(served, client):
    with client.realtime.connect(model="tiny") as connection:
        connection.recv()
        show_and_ask(connection)
        connection.session.update(session={"type": "realtime"})
        hermes = until(connection, "session.updated")[-1].session.hermes
    query = {"resume": hermes["resume_token"]}
    with client.realtime.connect(model="tiny", extra_query=query) as connection:
        session = connection.recv().session
        assert session.hermes["is_resumed"]
        assert session.hermes["stream"] == hermes["stream"]
        connection.conversation.item.create(item=question())
        connection.response.create()
        assert until(connection, "response.done")[-1].response.status == "completed"


def test_a_forged_token_resumes_nothing(served):
    with pytest.raises(InvalidStatus) as refused, connect(served.ws + "/v1/realtime?resume=a.b"):
        pass
    assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_resume_token"


def test_a_stream_that_nobody_comes_back_to_is_deleted(served):
    import time

    from hermes_stream.server.realtime.leases import Leases

    served.open_watched("realtime-left", 1)

    async def leave() -> None:
        Leases(served.service, seconds=0.05).give_back("realtime-left")
        await asyncio.sleep(1)

    asyncio.run(leave())
    time.sleep(0.1)
    assert served.http.get("/v1/streams/realtime-left").status_code == 404


def test_who_is_there_is_warned_before_the_server_goes(tiny, tmp_path):
    from tests.server.served import serving

    with serving(tmp_path, model=tiny) as one, connect(one.ws + "/v1/realtime") as socket:
        socket.recv()
        one.server.stop()
        assert json.loads(socket.recv(timeout=5))["type"] == "hermes.going_away"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd.code == 1001


def test_a_client_that_came_back_keeps_its_stream_when_its_old_connection_dies(served):
    from hermes_stream.server.realtime.leases import Leases

    served.open_watched("realtime-held", 1)

    async def come_back() -> None:
        leases = Leases(served.service, seconds=0.05)
        leases.take("realtime-held")
        leases.take("realtime-held")
        leases.give_back("realtime-held")
        await asyncio.sleep(0.3)

    asyncio.run(come_back())
    assert served.http.get("/v1/streams/realtime-held").status_code == 200


def test_a_camera_that_is_called_like_a_session_is_none():
    assert not is_leased("realtime-cam")
    assert is_leased("realtime-" + new_id("s").removeprefix("s_"))


def test_a_conversation_is_kept_within_bounds(served):
    text = {"type": "input_text", "text": "x" * 100_000}
    item = {"type": "message", "role": "user", "content": [text] * 4}
    with connect(served.ws + "/v1/realtime", max_size=None) as socket:
        ids = []
        for _ in range(4):
            socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
            while (event := json.loads(socket.recv()))["type"] != "conversation.item.done":
                pass
            ids.append(event["item"]["id"])
        found = []
        for one in (ids[0], ids[-1]):
            socket.send(json.dumps({"type": "conversation.item.retrieve", "item_id": one}))
            found.append(json.loads(socket.recv())["type"])
    assert found == ["error", "conversation.item.retrieved"]


def test_an_answer_that_is_not_sure_is_a_question_back_and_says_so(client, served):
    served.open_watched("unsure", 4)
    with client.realtime.connect(model="tiny", extra_query={"stream": "unsure"}) as connection:
        connection.recv()
        for clarify_below, is_back in ((None, False), (1.0, True)):
            settings = {"type": "realtime", "hermes": {"stream": "unsure", "clarify_below": clarify_below}}
            connection.session.update(session=settings)
            updated = until(connection, "session.updated")[-1]
            assert updated.session.hermes["clarify_below"] == clarify_below
            connection.conversation.item.create(item=question())
            connection.response.create()
            done = until(connection, "response.done")[-1].response
            assert (done.hermes["clarification"], done.hermes["guess"] is not None) == (is_back, is_back)
            assert done.output[0].content[0].text
        connection.session.update(session={"type": "realtime", "hermes": {"clarify_below": 2}})
        assert "clarify_below" in until(connection, "error")[-1].error.message


def test_a_refused_socket_is_answered_once(served, caplog):
    with caplog.at_level("ERROR"), pytest.raises(InvalidStatus) as refused:
        connect(f"{served.ws}/v1/realtime?stream=nope").close()
    assert refused.value.response.status_code == 404
    assert served.http.get("/health").status_code == 200
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


def told(socket, kind: str) -> list[dict]:
    events = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(socket.recv(timeout=60)))
    return events


def send(socket, kind: str, **fields) -> None:
    socket.send(json.dumps({"type": kind, **fields}))


def test_an_answer_that_is_cancelled_at_once_is_begun_and_done(served):
    served.open_watched("cancelled", 4)
    statuses = set()
    with connect(f"{served.ws}/v1/realtime?stream=cancelled") as socket:
        for _ in range(10):
            send(socket, "conversation.item.create", item=question())
            told(socket, "conversation.item.done")
            send(socket, "response.create")
            send(socket, "response.cancel")
            send(socket, "session.update", session={})
            events = told(socket, "session.updated")
            kinds = [event["type"] for event in events]
            assert kinds[0] == "response.created"
            assert kinds[-2:] == ["response.done", "session.updated"]
            assert events[-2]["response"]["id"] == events[0]["response"]["id"]
            statuses.add(events[-2]["response"]["status"])
    # a short answer may be whole before the second message is read
    assert "cancelled" in statuses <= {"cancelled", "completed"}


def test_settings_that_are_not_named_stay(served):
    first = {"instructions": "short", "hermes": {"clarify_below": 0.1, "num_turns": 3}}
    with connect(f"{served.ws}/v1/realtime") as socket:
        for changes, expected in (
            (first, ("short", 0.1, 3)),
            ({"max_output_tokens": 5}, ("short", 0.1, 3)),
            ({"instructions": "long"}, ("long", 0.1, 3)),
            ({"hermes": {"num_turns": 2}}, ("long", 0.1, 2)),
            ({"instructions": None, "hermes": {"clarify_below": None}}, (None, None, 2)),
        ):
            send(socket, "session.update", session=changes)
            session = told(socket, "session.updated")[-1]["session"]
            hermes = session["hermes"]
            assert (session["instructions"], hermes["clarify_below"], hermes["num_turns"]) == expected
        assert session["max_output_tokens"] == 5


def test_an_item_id_is_given_once(served):
    with connect(f"{served.ws}/v1/realtime") as socket:
        send(socket, "conversation.item.create", item={**question("first"), "id": "mine"})
        told(socket, "conversation.item.done")
        send(socket, "conversation.item.create", item={**question("second"), "id": "mine"})
        error = told(socket, "error")[-1]["error"]
        assert (error["code"], error["param"]) == ("item_exists", "item.id")
        send(socket, "conversation.item.retrieve", item_id="mine")
        kept = told(socket, "conversation.item.retrieved")[-1]["item"]
        assert kept["content"][0]["text"] == "first"
        send(socket, "conversation.item.delete", item_id="mine")
        send(socket, "conversation.item.create", item={**question("third"), "id": "mine"})
        told(socket, "conversation.item.done")


def test_a_client_that_leaves_in_the_middle_of_an_answer_is_no_failure(served, caplog):
    served.open_watched("left", 4)
    with caplog.at_level("ERROR"):
        for _ in range(10):
            socket = connect(f"{served.ws}/v1/realtime?stream=left")
            send(socket, "conversation.item.create", item=question())
            told(socket, "conversation.item.done")
            send(socket, "response.create")
            told(socket, "response.created")
            socket.socket.shutdown(2)  # without a word
            socket.close()
        wait_until(lambda: served.http.get("/v1/streams/left").json()["num_open_questions"] == 0)
        gc.collect()  # a task that failed and that nobody asked tells it when it goes
        assert served.http.get("/health").status_code == 200
    assert [one.getMessage() for one in caplog.records] == []
