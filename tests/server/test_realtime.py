"""OpenAI's Realtime client, unchanged: pictures and questions in, answers out; gone and come back."""

from __future__ import annotations

import asyncio
import base64
import gc
import json

import openai
import pytest
from tests.server.served import jpeg, serving
from tests.waiting import until as wait_until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hermes_stream.errors import ServiceError
from hermes_stream.server import app
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.realtime import session as sessions
from hermes_stream.server.realtime.events import ResponseOptions, SessionSettings, new_id
from hermes_stream.server.realtime.leases import Leases, is_leased
from hermes_stream.server.realtime.responding import question_of

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


def turn(role: str, *texts: str) -> dict:
    return {"role": role, "content": [{"type": "input_text", "text": text} for text in texts]}


TURNS = [
    turn("system", "Be brief."),
    turn("user", "what came first?"),
    turn("assistant", "a circle"),
    turn("user", "and then?"),
    turn("assistant", "a square"),
    {"role": "user", "content": [{"type": "input_image"}]},
    turn("user", "look."),
    turn("user", "what", "is it?"),
]


@pytest.mark.parametrize(
    ("num_turns", "asked"),
    [
        (0, "look.\nwhat\nis it?"),
        (1, "User: and then?\nAssistant: a square\nUser: look.\nwhat\nis it?"),
    ],
)
def test_a_question_is_all_that_was_said_since_the_last_answer(num_turns, asked):
    settings = SessionSettings(instructions="Of the session.", hermes={"num_turns": num_turns})
    of_the_answer = ResponseOptions(instructions="Of the answer.")
    assert question_of(TURNS, settings, ResponseOptions()) == f"Be brief.\n\nOf the session.\n\n{asked}"
    assert question_of(TURNS, settings, of_the_answer) == f"Be brief.\n\nOf the answer.\n\n{asked}"
    with pytest.raises(RefusedError, match="nothing was asked since"):
        question_of(TURNS[:5], settings, ResponseOptions())


class Closing:
    """A service that notes which streams it deletes."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    def close_stream(self, name: str, *, delete: bool) -> None:
        if name == "stuck":
            raise ServiceError("it stays")
        assert delete
        self.deleted.append(name)


async def over(leases: Leases) -> None:
    """Wait until every stream that nobody comes back to is deleted."""
    while leases._ends or leases._closing:
        await asyncio.sleep(0)


def test_streams_end_with_their_last_client_and_those_of_the_server_before_with_nobody(caplog):
    service = Closing()

    async def come_and_go() -> None:
        leases = Leases(service, seconds=0.0)
        leases.start(["left", "stuck", "found"])
        leases.take("found")
        leases.take("door")
        leases.give_back("door")
        leases.take("door")  # it is back in time
        leases.take("yard")
        leases.give_back("yard")
        await over(leases)
        assert sorted(service.deleted) == ["left", "yard"]
        leases.give_back("door")
        await over(leases)

    asyncio.run(come_and_go())
    assert service.deleted[-1] == "door"
    assert "is over stays: it stays" in caplog.text


def test_a_server_that_ends_leaves_streams_to_the_next():
    service = Closing()

    async def end() -> None:
        leases = Leases(service, seconds=0.0)
        for _ in range(2):
            leases.take("door")
            leases.give_back("door")
        leases.close()
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(end())
    assert service.deleted == []


def test_a_session_is_about_one_stream(served):
    served.open_watched("one", 1)
    served.open_watched("two", 1)
    with connect(f"{served.ws}/v1/realtime?stream=one") as socket:
        send(socket, "session.update", session={"hermes": {"stream": "two"}})
        assert told(socket, "error")[-1]["error"]["code"] == "stream_is_set"
        send(socket, "session.update", session={})
        assert told(socket, "session.updated")[-1]["session"]["hermes"]["stream"] == "one"


def test_a_sessions_own_stream_is_as_it_was_said_and_lasts_a_while(served):
    leases = served.server.app.state.hermes.leases
    with connect(f"{served.ws}/v1/realtime") as socket:
        send(socket, "session.update", session={"hermes": {"budget_tokens": 77, "fps": 2.0}})
        send(socket, "conversation.item.create", item={**image(0, pts_us=5 * US), "id": "shot"})
        frame = told(socket, "hermes.frame")[-1]
        assert frame["newest_pts_us"] == 5 * US
        shown = served.http.get(f"/v1/streams/{frame['stream']}").json()
        assert (shown["budget_tokens"], shown["fps"]) == (77, 2.0)
        assert leases._num_holders[frame["stream"]] == 1
        send(socket, "conversation.item.retrieve", item_id="shot")
        item = told(socket, "conversation.item.retrieved")[-1]["item"]
        assert item["content"] == [{"type": "input_image"}], "a picture is not kept twice"
    wait_until(lambda: frame["stream"] in leases._ends)


def test_a_sessions_stream_that_comes_later_from_elsewhere_lasts_a_while(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "_SWEEP_SECONDS", 0.05)
    with serving(tmp_path, model=tiny) as one:
        state = one.server.app.state.hermes
        state.leases._seconds = 1.0
        failing = [FileNotFoundError("another replica was first")]

        def sweep() -> None:
            if failing:
                raise failing.pop()

        monkeypatch.setattr(state.uploads, "sweep", sweep)
        wait_until(lambda: not failing)
        names = ["realtime-" + character * 20 for character in "ab"]
        one.service.open_stream(names[0])
        with connect(f"{one.ws}/v1/realtime?stream={names[0]}") as socket:
            socket.recv()
            one.service.open_stream(names[1])  # as a replica opens what another one left
            wait_until(lambda: [stream.name for stream in one.service.streams()] == names[:1])


def test_turns_are_few_and_know_the_one_before(served, monkeypatch):
    monkeypatch.setattr(sessions, "_MAX_ITEMS", 2)
    with connect(f"{served.ws}/v1/realtime") as socket:
        for name, before in (("a", None), ("b", "a"), ("c", "b")):
            send(socket, "conversation.item.create", item={**question(name), "id": name})
            assert told(socket, "conversation.item.done")[-1]["previous_item_id"] == before
        send(socket, "conversation.item.retrieve", item_id="a")
        assert told(socket, "error")[-1]["error"]["code"] == "item_not_found"
        monkeypatch.setattr(sessions, "_MAX_CHARACTERS", 2)
        send(socket, "conversation.item.create", item={**question("long"), "id": "d"})
        told(socket, "conversation.item.done")
        send(socket, "conversation.item.retrieve", item_id="d")
        assert told(socket, "conversation.item.retrieved"), "the newest stays, however long"


@pytest.mark.parametrize("head", ["data:video/mp4;base64,", "data:image/jpeg,", "data:image/jpeg;base64,!"])
def test_a_picture_is_a_picture_in_base64(served, head):
    url = head + base64.b64encode(jpeg(0)).decode()
    item = {**image(0), "content": [{"type": "input_image", "image_url": url}]}
    with connect(f"{served.ws}/v1/realtime") as socket:
        send(socket, "conversation.item.create", item=item)
        error = told(socket, "error")[-1]["error"]
        assert (error["code"], error["param"]) == ("invalid_picture", "item.content.image_url")


def test_an_answer_is_as_long_as_its_own_options_say(served):
    served.open_watched("short", 4)
    with connect(f"{served.ws}/v1/realtime?stream=short") as socket:
        for of_session, own, status in (
            ("inf", 1, "incomplete"),
            (1, "inf", "completed"),
            (1, None, "incomplete"),
        ):
            send(
                socket,
                "session.update",
                session={"max_output_tokens": of_session, "hermes": {"num_moments": 0}},
            )
            send(socket, "conversation.item.create", item=question())
            send(socket, "response.create", response={"max_output_tokens": own, "metadata": {"a": "b"}})
            done = told(socket, "response.done")[-1]["response"]
            assert done["status"] == status
            assert done["metadata"] == {"a": "b"}
            assert done["hermes"]["evidence"] == []
            assert ("status_details" in done) == (status == "incomplete")


def test_one_answer_is_given_at_a_time_and_one_that_fails_is_told(served):
    served.open_watched("single", 4)
    with connect(f"{served.ws}/v1/realtime?stream=single") as socket:
        for text in ("what is there?", "what else?"):
            send(socket, "conversation.item.create", item=question(text))
        send(socket, "response.create")
        send(socket, "response.create")
        kinds = [event["type"] for event in told(socket, "response.done")]
        if "error" not in kinds:  # the first was whole already
            kinds += [event["type"] for event in told(socket, "error")]
        served.http.delete("/v1/streams/single?delete=true")
        send(socket, "conversation.item.create", item=question())
        send(socket, "response.create")
        events = told(socket, "response.done")
        assert events[-1]["response"]["status"] == "failed"
        assert [event["error"]["code"] for event in events if event["type"] == "error"] == ["not_found"]
