"""Pictures without times: what they get while the machine's clock is set back and forth."""

from __future__ import annotations

import pytest
from tests.server.served import jpeg

from hermes_stream.server import arrivals
from hermes_stream.server.arrivals import Arrivals


class Clocks:
    """A machine whose clock is set by hand."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1000.0, 5.0

    def go_on(self, seconds: float, *, set_by: float = 0.0) -> None:
        self.wall, self.monotonic = self.wall + seconds + set_by, self.monotonic + seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def times(clocks) -> Arrivals:
    return Arrivals(wall=lambda: clocks.wall, monotonic=lambda: clocks.monotonic)


def test_times_are_those_of_arrival(clocks, times):
    assert times.seconds("door", zero=None, newest=None) == 0
    assert times.seconds("door", zero=1000.0, newest=0.0) == pytest.approx(0, abs=1e-5)
    clocks.go_on(2)
    assert times.seconds("door", zero=1000.0, newest=0.0) == 2
    clocks.go_on(3, set_by=100)
    assert times.seconds("door", zero=1000.0, newest=2.0) == 105


def test_time_goes_on_where_the_clock_is_set_back(clocks, times):
    clocks.go_on(10)
    assert times.seconds("door", zero=1000.0, newest=9.0) == 10
    clocks.go_on(1, set_by=-3600)
    assert times.seconds("door", zero=1000.0, newest=10.0) == 11
    clocks.go_on(2)
    assert times.seconds("door", zero=1000.0, newest=11.0) == 13
    clocks.go_on(1, set_by=3600)
    assert times.seconds("door", zero=1000.0, newest=13.0) == 14


def test_after_a_restart_time_goes_on_behind_the_newest_picture(clocks, times):
    first = times.seconds("door", zero=1000.0, newest=200_000.0)
    assert 200_000 < first < 200_000.1
    clocks.go_on(4)
    assert times.seconds("door", zero=1000.0, newest=first) == pytest.approx(first + 4)


def test_a_stream_that_was_deleted_leaves_its_time_to_none_of_the_same_name(clocks, times):
    times.seconds("door", zero=1000.0, newest=5000.0)
    clocks.go_on(10)
    assert times.seconds("door", zero=None, newest=None) == 0
    clocks.go_on(2)
    assert times.seconds("door", zero=1010.0, newest=0.0) == 2


def test_two_pictures_at_once_have_two_times_and_streams_are_apart(times):
    one, two = (times.seconds("door", zero=990.0, newest=None) for _ in range(2))
    assert one == 10 < two
    assert times.seconds("yard", zero=995.0, newest=None) == 5


def test_what_is_kept_of_streams_is_bounded(monkeypatch, times):
    monkeypatch.setattr(arrivals, "_MAX_STREAMS", 3)
    for number in range(10):
        times.seconds(f"s{number}", zero=0.0, newest=None)
    assert len(times._last) == 3


def test_a_server_takes_pictures_while_its_clock_is_an_hour_back(served, monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(served.server.app.state.hermes.arrivals, "_wall", lambda: clocks.wall)
    monkeypatch.setattr(served.server.app.state.hermes.arrivals, "_monotonic", lambda: clocks.monotonic)
    served.http.post("/v1/streams", json={"name": "back", "fps": 1})
    path, headers = "/v1/streams/back/frames", {"Content-Type": "image/jpeg"}
    served.http.post(path, content=jpeg(0), headers=headers)
    clocks.wall = served.http.get("/v1/streams/back").json()["zero_wall_seconds"]
    taken = 0
    for number in range(6):
        clocks.go_on(2, set_by=-3600 if number == 3 else 0)
        taken += served.http.post(path, content=jpeg(number), headers=headers).json()["num_accepted"]
    assert taken == 6


def test_no_picture_comes_before_its_streams_zero(times):
    assert times.seconds("door", zero=5000.0, newest=None) == 0
