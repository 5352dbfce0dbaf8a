"""``hermes mcp`` as assistants use it: the official client starts it and speaks through its pipes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest

mcp = pytest.importorskip("mcp", reason="pip install 'hermes-stream[mcp]'")

from mcp import Client, StdioServerParameters  # noqa: E402
from tests.server.served import serving  # noqa: E402

from hermes_stream.video.jpeg import decode_jpeg  # noqa: E402

NOW = "what is on screen now?"
_SECONDS = 60.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    with serving(tmp_path_factory.mktemp("service")) as one:
        one.open_watched("door")
        one.open_watched("yard")
        yield one


def assisted(url: str, talk: Callable[[Client], Awaitable[None]], **environment: str) -> None:
    """Let an assistant talk to the command as a program of its own, at an address."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "hermes_stream", "mcp"],
        env={**os.environ, "HERMES_URL": url, **environment},
    )

    async def connected() -> None:
        async with Client(command, read_timeout_seconds=_SECONDS) as assistant:
            await talk(assistant)

    asyncio.run(connected())


def told(result) -> str:
    """What a tool says in words."""
    return "\n".join(one.text for one in result.content)


def test_an_assistant_looks_through_a_camera(served):
    """One conversation, since each starts a program: tools, streams, an answer, events, errors."""

    async def talk(assistant: Client) -> None:
        tools = {one.name: one for one in (await assistant.list_tools()).tools}
        looking = {"streams", "ask", "events", "picture", "search"}
        assert set(tools) == looking | {"watches", "add_watch", "remove_watch", "incidents"}
        assert all(one.description for one in tools.values())
        assert set(tools["ask"].input_schema["required"]) == {"stream", "question"}

        streams = (await assistant.call_tool("streams")).structured_content["result"]
        assert [one["name"] for one in streams] == ["door", "yard"]
        assert [(one["num_frames"], one["state"]) for one in streams] == [(4, "live")] * 2

        asked = await assistant.call_tool("ask", {"stream": "door", "question": NOW})
        answer = asked.structured_content
        direct = served.http.post("/v1/streams/door/ask", json={"question": NOW}).json()
        assert (asked.is_error, answer["text"]) == (False, direct["text"])
        chosen = {"stream": "door", "question": NOW, "options": ["red square", "nothing"]}
        assert (await assistant.call_tool("ask", chosen)).structured_content["option_index"] in (0, 1)

        back = await assistant.call_tool("ask", {"stream": "door", "question": NOW, "clarify_below": 1})
        assert back.structured_content["clarification"]
        assert back.structured_content["guess"] == answer["text"]
        long = await assistant.call_tool("ask", {"stream": "door", "question": NOW, "wait_seconds": 46})
        assert "at most 45 seconds" in told(long)
        alone = await assistant.call_tool("ask", {"stream": "door", "question": NOW, "until": NOW})
        assert "give wait_seconds, too" in told(alone)

        address = next(one["picture_url"] for one in answer["evidence"] if one["picture_url"])
        (image,) = (await assistant.call_tool("picture", {"url": address})).content
        assert image.mime_type == "image/jpeg"
        assert decode_jpeg(base64.b64decode(image.data)).shape[2] == 3

        wanted = {"stream": "door", "limit": 2}
        events = (await assistant.call_tool("events", wanted)).structured_content["result"]
        assert [one["stream"] for one in events] == ["door", "door"]
        assert events[0]["id"] < events[1]["id"]
        assert events[1]["kind"] == "answered"
        unknown = await assistant.call_tool("ask", {"stream": "cellar", "question": NOW})
        assert unknown.is_error
        assert "cellar" in told(unknown)
        short = {"stream": "door", "question": NOW, "wait_seconds": 0.2}
        waited = (await assistant.call_tool("ask", short)).structured_content
        assert (waited["finish_reason"], waited["text"]) == ("abandoned", "")  # no frame came
        elsewhere = await assistant.call_tool("picture", {"url": "http://169.254.169.254/latest"})
        assert elsewhere.is_error
        assert "no picture_url of this service" in told(elsewhere)
        assert "Traceback" not in told(unknown) + told(elsewhere)
        assert json.dumps(answer)

    assisted(served.url, talk)


def test_an_assistant_reaches_nothing_but_what_its_tools_name(served):
    """Dots and slashes, which a video may have told it, lead to no other route."""

    async def talk(assistant: Client) -> None:
        for part in ("..", ".", "", "../..", "door/watches/1"):
            for tool, given in (
                ("remove_watch", {"stream": "door", "watch": part}),
                ("remove_watch", {"stream": part, "watch": 1}),
                ("watches", {"stream": part}),
                ("add_watch", {"stream": part, "question": NOW}),
                ("ask", {"stream": part, "question": NOW}),
            ):
                refused = await assistant.call_tool(tool, given)
                assert refused.is_error, (tool, given)
                assert "lead elsewhere" in told(refused)
        for path in ("../whoami", "%2e%2e/whoami", "..%2Fwhoami", "a/../../events", "", "x.jpg?x=1"):
            refused = await assistant.call_tool("picture", {"url": f"/v1/pictures/{path}"})
            assert refused.is_error, path
            assert "no address of a picture" in told(refused)
        streams = (await assistant.call_tool("streams")).structured_content["result"]
        assert {one["name"] for one in streams} >= {"door", "yard"}

    assisted(served.url, talk)


def test_an_assistant_watches_and_reads_the_record(served):
    """Standing questions are added, listed and removed; incidents and the record are found."""

    async def talk(assistant: Client) -> None:
        async def call(tool: str, **arguments):
            result = await assistant.call_tool(tool, arguments)
            assert not result.is_error, told(result)
            return result.structured_content

        sure = {"raise_at": 1e-9, "clear_at": 0.0, "hold_seconds": 0.0}
        day = {"question": "is it day?", "name": "day", **sure}
        served.http.post("/v1/streams/yard/watches", json=day).raise_for_status()
        question = "is a person there?"
        added = await call("add_watch", stream="yard", question=question, name="person", severity="alarm")
        assert (added["name"], added["kind"], added["severity"]) == ("person", "alert", "alarm")
        state = {"question": "is the door open or closed?", "kind": "state", "options": ["open", "closed"]}
        await call("add_watch", stream="yard", **state)
        listed = (await call("watches", stream="yard"))["result"]
        assert [one["question"] for one in listed] == ["is it day?", question, state["question"]]
        assert "removed" in (await call("remove_watch", stream="yard", watch="person"))["result"]
        await call("remove_watch", stream="yard", watch=listed[2]["id"])
        assert [one["name"] for one in (await call("watches", stream="yard"))["result"]] == ["day"]

        for second in range(100, 117):
            served.push("yard", second)
        opened = (await call("incidents", stream="yard", status="open"))["result"]
        assert [(one["stream"], one["name"]) for one in opened] == [("yard", "day")]
        assert (await call("incidents", stream="door"))["result"] == []

        served.http.post("/v1/streams/yard/ask", json={"question": "which vehicles came?"})
        # An answer comes before its question is in the record.
        found = []
        for _ in range(400):
            if found := (await call("search", words="vehicles", stream="yard"))["results"]:
                break
            await asyncio.sleep(0.05)
        assert found[0]["stream"] == "yard"
        assert (await call("search", words="vehicles", stream="door"))["results"] == []

        unclear = await assistant.call_tool("add_watch", {"stream": "yard", "question": "?", "kind": "state"})
        assert unclear.is_error
        assert "options" in told(unclear)
        gone = await assistant.call_tool("remove_watch", {"stream": "yard", "watch": "person"})
        assert gone.is_error
        assert "person" in told(gone)

    assisted(served.url, talk)


def test_an_assistant_goes_on_behind_the_events_that_it_has_read(served):
    async def talk(assistant: Client) -> None:
        async def numbers(**wanted) -> list[int]:
            events = (await assistant.call_tool("events", wanted)).structured_content["result"]
            return [one["id"] for one in events]

        listed = served.http.get("/v1/events", params={"newest_first": True, "limit": 5}).json()["data"]
        newest = [one["id"] for one in reversed(listed)]
        assert await numbers(limit=5) == newest
        assert await numbers(after=newest[1], limit=2) == newest[2:4]
        assert await numbers(after=newest[3], limit=2) == newest[4:]
        assert await numbers(after=newest[4]) == []
        assert await numbers(after=0, limit=2) == [1, 2]

    assisted(served.url, talk)


def test_an_assistant_is_told_that_no_service_runs():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def talk(assistant: Client) -> None:
        result = await assistant.call_tool("streams")
        assert result.is_error
        assert "hermes serve" in told(result)
        assert url in told(result)

    assisted(url, talk)


def test_without_its_package_the_command_says_what_to_install(hermes, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "hermes_stream.server.assistants", raising=False)
    run = hermes("mcp")
    assert run.code == 1
    assert "pip install 'hermes-stream[server,mcp]'" in run.err
