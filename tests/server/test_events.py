"""Events: listed, and told as they happen, from where a client left off."""

from __future__ import annotations

import json
import threading
import time

import httpx
import pytest

from hermes_stream.server.sse import sse


def read(served, headers: dict[str, str], *, until: int, **query) -> list[int]:
    """Return ids of told events, until one of them is there."""
    ids = []
    headers = {"Accept": "text/event-stream", **headers}
    with served.http.stream("GET", "/v1/events", headers=headers, params=query, timeout=20) as sent:
        assert sent.status_code == 200
        for line in sent.iter_lines():
            if line.startswith("data: "):
                ids.append(json.loads(line[6:])["id"])
                if ids[-1] >= until:
                    break
    return ids


def newest(served) -> int:
    return served.http.get("/v1/events", params={"newest_first": True, "limit": 1}).json()["last_id"]


def happen(served, count: int) -> int:
    """Make at least so many events; return the newest."""
    for number in range(count):
        served.http.post("/v1/streams", json={"name": f"e-{time.monotonic_ns()}-{number}"})
    return newest(served)


def test_events_are_listed_in_pages(served):
    happen(served, 3)
    page = served.http.get("/v1/events", params={"limit": 2}).json()
    assert page["has_more"]
    ids = [one["id"] for one in page["data"]]
    assert ids == sorted(ids)
    following = served.http.get("/v1/events", params={"after": page["last_id"], "limit": 1}).json()
    assert following["data"][0]["id"] > page["last_id"]
    opened = served.http.get("/v1/events", params={"kind": "stream_opened"}).json()["data"]
    assert {one["kind"] for one in opened} == {"stream_opened"}


def test_pages_of_either_order_go_on_behind_their_last_id(served):
    happen(served, 6)

    def paged(count: int, **query) -> list[int]:
        ids, after = [], {}
        while len(ids) < count:
            page = served.http.get("/v1/events", params={**query, **after, "limit": 2}).json()
            assert page["last_id"] == page["data"][-1]["id"]
            ids += [one["id"] for one in page["data"]]
            after = {"after": page["last_id"]}
        return ids

    assert paged(6) == [1, 2, 3, 4, 5, 6]
    backwards = paged(6, newest_first=True)
    assert backwards == list(range(backwards[0], backwards[0] - 6, -1))
    page = served.http.get("/v1/events", params={"newest_first": True, "after": 1}).json()
    assert (page["data"], page["last_id"], page["has_more"]) == ([], 1, False)


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"after": -1}, {"since": "x"}, {"colour": "red"}]
)
def test_a_query_out_of_range_is_refused(served, query):
    assert served.http.get("/v1/events", params=query).status_code == 422


def test_a_stream_that_is_none_is_told_before_the_events(served):
    headers = {"Accept": "text/event-stream"}
    assert served.http.get("/v1/events", params={"stream": "none"}, headers=headers).status_code == 404


@pytest.mark.parametrize("name", ["since", "until", "limit", "newest_first"])
def test_what_is_for_lists_alone_is_refused_where_events_are_followed(served, name):
    headers = {"Accept": "text/event-stream"}
    with served.http.stream("GET", "/v1/events", params={name: 1}, headers=headers) as refused:
        assert refused.status_code == 400
        error = json.loads(refused.read())["error"]
    assert error["param"] == name
    assert f"no '{name}'" in error["message"]


@pytest.mark.parametrize("last", ["x", "-1", "\u00b2", "9" * 39, "9" * 5000, None])
def test_behind_what_is_no_event_new_ones_come(served, last):
    """A browser comes back with the number of a record that was here before."""
    before = newest(served)
    query = {} if last else {"after": before + 1000}
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last.encode()} if last else {})
    with served.http.stream("GET", "/v1/events", params=query, headers=headers, timeout=20) as sent:
        assert sent.status_code == 200
        lines = sent.iter_lines()
        begin = int(next(lines).removeprefix("id: "))
        served.service.open_stream(f"anew-{time.monotonic_ns()}")
        told = next(line for line in lines if line.startswith(("data: ", ": still here")))
    assert before <= begin <= newest(served)
    assert json.loads(told[6:])["id"] == begin + 1


def test_nothing_is_missed_and_nothing_comes_twice_over_reconnections(served):
    start = newest(served)
    stop = threading.Event()

    def go_on() -> None:
        with httpx.Client(base_url=served.url) as http:
            while not stop.is_set():
                http.post("/v1/streams", json={"name": f"n-{time.monotonic_ns()}"})

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        told, last = [], start
        for _ in range(4):  # each time the connection is lost after a few events
            told += read(served, {"Last-Event-ID": str(last)}, until=last + 7)
            last = told[-1]
    finally:
        stop.set()
        thread.join()
    assert told == list(range(start + 1, last + 1))


def test_what_is_not_wanted_is_passed_over_once(served, monkeypatch):
    asked = []
    events = served.service.events
    monkeypatch.setattr(
        served.service, "events", lambda after=0, **chosen: asked.append(after) or events(after, **chosen)
    )
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "0"}
    with served.http.stream("GET", "/v1/events?kind=stream_renamed", headers=headers) as sent:
        lines = sent.iter_lines()
        next(lines)
        for number in range(3):
            served.service.open_stream(f"unwanted-{number}")
        before = newest(served)
        served.service.rename("unwanted-0", "renamed")
        assert any("renamed" in line for line in lines_until(lines, "data: "))
        served.service.open_stream("unwanted-3")
        deadline = time.monotonic() + 10
        while max(asked) <= before and time.monotonic() < deadline:
            time.sleep(0.05)
    assert max(asked) > before


def lines_until(lines, start):
    for line in lines:
        yield line
        if line.startswith(start):
            return


def test_without_a_last_id_events_begin_now_and_the_first_block_says_where(served):
    before = newest(served)
    with served.http.stream("GET", "/v1/events", headers={"Accept": "text/event-stream"}) as sent:
        field, number = next(sent.iter_lines()).split(": ")
    assert field == "id"
    assert (
        before <= int(number) <= newest(served)
    )  # streams that were opened before still have something to tell


def test_many_readers_are_told_the_same(served):
    start, found = newest(served), {}

    def listen(number: int) -> None:
        with httpx.Client(base_url=served.url) as http:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(start)}
            with http.stream("GET", "/v1/events", headers=headers, timeout=20) as sent:
                ids = []
                for line in sent.iter_lines():
                    if line.startswith("id: ") and int(line[4:]) > start:
                        ids.append(int(line[4:]))
                    if len(ids) == 5:
                        break
                found[number] = ids

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    happen(served, 5)
    for thread in threads:
        thread.join(20)
    assert found == {number: list(range(start + 1, start + 6)) for number in range(8)}


def test_an_event_tells_its_number_also_the_first():
    assert sse({"a": 1}, event="gap", id=0) == b'event: gap\ndata: {"a": 1}\nid: 0\n\n'
    assert b"id:" not in sse({"a": 1}, event="gap")
