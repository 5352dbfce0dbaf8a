"""A cluster on a Ray that runs already: deployed, gateways and Ray's head killed, upgraded, grown, shrunk.

Ray is begun as two machines: a head without replicas, and a node with them. ``hermes cluster deploy`` brings
settings there; streams are pushed by a client that never waits, each is asked by a thread of its own, and
one connection follows all events. Then, one after the other: a gateway and all of them are killed; the head
is killed, is away, and comes back; the same settings are deployed again, as new code is; then another model;
then as many replicas as the streams need, which grow with new streams and shrink when those are closed.
Exits 1 where something went otherwise than it should.

    HERMES_STORE=postgresql://user@host/empty \
        python -m hermes_lab.stress.cluster_life --out results/stress_cluster_life.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_lab.stress.asked_all_along import AskedAllAlong
from hermes_lab.stress.cluster_kills import ray_processes
from hermes_lab.stress.followed_events import Follower, compare_events, recorded_events
from hermes_lab.stress.numbered_frames import LiveClient
from hermes_lab.stress.ray_machines import RayMachines
from hermes_lab.stress.record import write_record
from hermes_stream.client import Client
from hermes_stream.errors import HermesError
from hermes_stream.server.listening import free_port
from hermes_stream.service.ownership.directory import Directory

_FPS = 1.0
_MAX_BACK_SECONDS = 15.0
_WAIT_SECONDS = 180.0
_AWAY_SECONDS = 20.0
_SETTLE_SECONDS = 3.0
_MAX_STREAMS = 4
STEPS = ("gateways", "head", "code", "model", "auto")
_MUST_BE_NONE = (
    *("num_missed_events", "num_doubled_events", "num_events_out_of_order"),
    *("num_lost_committed_events", "num_changed_events", "num_recorded_twice"),
)


class ClusterLife:
    """What happens to one cluster.

    Args:
        folder: that replicas share; its path must be short.
        store: address of an empty Postgres database.
        num_streams: streams that are pushed.
    """

    def __init__(self, folder: Path, store: str, *, num_streams: int) -> None:
        (folder / "ray").mkdir()
        self._folder, self._store = folder, store
        self._ray = RayMachines(folder / "ray")
        self._names = [f"s{index}" for index in range(num_streams)]
        self._port = free_port("127.0.0.1")
        self._url = f"http://127.0.0.1:{self._port}"

    def run(self, steps: Sequence[str]) -> dict[str, Any]:
        """Do it; return numbers for the record."""
        with ExitStack() as ending:
            ending.callback(self._ray.close)
            self._ray.start()
            numbers: dict[str, Any] = {"deploy_seconds": self._deploy()}
            self._directory = Directory(self._store)
            ending.callback(self._directory.close)
            self._client = ending.enter_context(Client(self._url, timeout_seconds=30.0))
            self._wait_for(lambda: len(self._alive()) == 2)
            for name in self._names:
                self._open(name)
            pushing = LiveClient(self._url, self._names, _FPS)
            ending.callback(pushing.stop)
            follower = Follower(self._url)
            self._asked = AskedAllAlong(self._url, self._names)
            ending.callback(self._asked.stop)
            self._wait_for(lambda: all(self._asked.num_answered(name) > 1 for name in self._names))
            for step in steps:
                numbers[step] = getattr(self, f"_{step}")()
            self._asked.stop()
            pushing.stop()
            time.sleep(_SETTLE_SECONDS)
            recorded = recorded_events(self._client)
            has_caught_up = follower.wait_for(recorded[-1].id)
            followed = [one for one in tuple(follower.events) if one.id <= recorded[-1].id]
            numbers["events"] = compare_events(followed, recorded)
        numbers["events"]["has_follower_caught_up"] = has_caught_up
        faults = faults_of(numbers)
        return {**numbers, "load_average": os.getloadavg()[0], "faults": faults, "is_right": not faults}

    def _deploy(self, **settings: Any) -> float:
        """Bring settings there by the command; return how long that took."""
        own = {
            **{"store": self._store, "data_dir": str(self._folder / "data"), "port": self._port},
            **{"model": "tiny", "replicas": "2", "replica_cpus": 1.0, "threads": 1},
            **{"snapshot_every_seconds": 20.0, "max_streams": 64, "ray_address": self._ray.address},
            **settings,
        }
        file = self._folder / "cluster.toml"
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in own.items()))
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "hermes_stream", "cluster", "deploy", str(file), "--json"],
            env=self._ray.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * _WAIT_SECONDS,
        )
        if done.returncode != 0:
            raise RuntimeError(f"it was not deployed: {done.stderr[-4000:]}")
        return time.monotonic() - began

    def _gateways(self) -> dict[str, Any]:
        """Kill one gateway, then all of them."""
        numbers = {}
        for name, number in (("one", 1), ("all", None)):
            before, began = self._owners(), time.monotonic()
            for pid in _gateways()[:number]:
                os.kill(pid, signal.SIGKILL)
            self._wait_for_answers(since=began)
            numbers[name] = {
                "answered_seconds": time.monotonic() - began,
                **self._asked.summary(since=began),
                "num_moved": self._num_moved(before),
            }
            self._wait_for(lambda: len(_gateways()) == 2)
        return numbers

    def _head(self) -> dict[str, Any]:
        """Kill the head, let it be away for a while, and bring it back; then it must work again."""
        before, began = self._owners(), time.monotonic()
        self._ray.kill_head()
        time.sleep(_AWAY_SECONDS)
        self._wait_for_answers(since=began)
        while_away = self._asked.summary(since=began)
        back = time.monotonic()
        self._ray.start_head()
        start_seconds = time.monotonic() - back
        time.sleep(_AWAY_SECONDS)
        self._wait_for_answers(since=back)
        while_coming = self._asked.summary(since=back)
        num_moved = self._num_moved(before)
        killed = time.monotonic()
        os.kill(_gateways()[0], signal.SIGKILL)  # whoever restarts it is the head
        self._wait_for(lambda: len(_gateways()) == 2)
        self._wait_for_answers(since=killed)
        return {
            "away_seconds": back - began,
            "start_seconds": start_seconds,
            "while_away": while_away,
            "while_coming": while_coming,
            "num_moved": num_moved,
            "works_again_seconds": time.monotonic() - killed,
        }

    def _code(self) -> dict[str, Any]:
        """Deploy the same again: each replica is replaced, and each stream goes on with what it remembers."""
        return self._upgrade()

    def _model(self) -> dict[str, Any]:
        """Deploy another model: each stream begins anew, and says so."""
        return self._upgrade(model="tiny-qwen")

    def _upgrade(self, **settings: Any) -> dict[str, Any]:
        former, began, after = set(self._alive()), time.monotonic(), self._newest_event()
        deploy_seconds = self._deploy(**settings)
        self._wait_for(lambda: len(self._alive()) == 2 and not former & set(self._alive()))
        self._wait_for(lambda: len(self._owners()) == len(self._names))
        self._wait_for_answers(since=time.monotonic())
        told = [one for one in recorded_events(self._client) if one.id > after]
        return {
            "deploy_seconds": deploy_seconds,
            "upgrade_seconds": time.monotonic() - began,
            **self._asked.summary(since=began),
            "num_moves": sum(one.kind == "stream_released" for one in told),
            "num_begun_anew": len({one.stream for one in told if one.kind == "memory_lost"}),
            "num_streams": len(self._names),
            "models": sorted({row.model for row in self._alive().values()}),
        }

    def _auto(self) -> dict[str, Any]:
        """Let replicas follow the streams: more come with more streams, and go with them."""
        few = {"replicas": "auto", "max_streams": _MAX_STREAMS, "max_replicas": 3, "scale_down_seconds": 20.0}
        self._deploy(model="tiny-qwen", **few)
        # the streams that there are need fewer than all places of one replica
        self._wait_for(lambda: len(self._alive()) == 1 and len(self._owners()) == len(self._names))
        num_first, before, began = len(self._alive()), self._owners(), time.monotonic()
        new = [f"new{index}" for index in range(2 * _MAX_STREAMS - len(self._names) - 1)]
        for name in new:
            self._open(name)
        opened_seconds = time.monotonic() - began
        self._wait_for(lambda: len(self._alive()) == 3)
        grown_seconds, num_moved = time.monotonic() - began, self._num_moved(before)
        placed = len({owner for owner, _ in self._owners(new).values()})
        for name in new:
            self._client.close_stream(name)
        # so that whichever replica goes has one to give to another
        owners = self._owners()
        other = next(name for name in self._alive() if name != owners[self._names[-1]][0])
        self._directory.replicas.ask_to_move(self._names[-1], other)
        self._wait_for(lambda: self._owners().get(self._names[-1], ("",))[0] == other)
        closed, after = time.monotonic(), self._newest_event()
        self._wait_for(lambda: len(self._alive()) == 1 and len(self._owners()) == len(self._names))
        self._wait_for_answers(since=time.monotonic())
        told = [one for one in recorded_events(self._client) if one.id > after]
        return {
            "max_streams_of_replica": _MAX_STREAMS,
            "num_first": num_first,
            "num_opened": len(new),
            "opened_seconds": opened_seconds,
            "grown_seconds": grown_seconds,
            "num_moved_when_grown": num_moved,
            "num_replicas_with_new_streams": placed,
            "shrunk_seconds": time.monotonic() - closed,
            "num_given_back": sum(one.kind == "stream_released" for one in told),
            "num_begun_anew": sum(one.kind == "memory_lost" for one in told),
            **self._asked.summary(since=closed),
        }

    def _open(self, name: str) -> None:
        self._wait_for(lambda: self._opens(name))

    def _opens(self, name: str) -> bool:
        try:
            self._client.open_stream(name, chunk_frames=4, fps=_FPS)
        except HermesError:
            return False
        return True

    def _newest_event(self) -> int:
        return max((one.id for one in recorded_events(self._client)), default=0)

    def _alive(self) -> dict[str, Any]:
        return {row.name: row for row in self._directory.replicas.all() if row.is_alive}

    def _owners(self, names: Sequence[str] | None = None) -> dict[str, tuple[str, int]]:
        """Return replica and epoch of each stream that somebody has."""
        found = {name: self._directory.replicas.owner_of(name) for name in names or self._names}
        return {
            name: (owner.replica.name, owner.epoch)
            for name, owner in found.items()
            if owner is not None and owner.replica is not None
        }

    def _num_moved(self, before: dict[str, tuple[str, int]]) -> int:
        now = self._owners()
        return sum(now.get(name) != owner for name, owner in before.items())

    def _wait_for_answers(self, *, since: float) -> None:
        """Wait until each stream has answered a question that was asked after a moment."""
        self._wait_for(lambda: all(self._asked.last_asked(name) > since for name in self._names))

    def _wait_for(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not come within {_WAIT_SECONDS:g} s: {self._ray.log}")
            time.sleep(0.2)


def _gateways() -> list[int]:
    return [pid for pid, name in ray_processes() if "gateway" in name]


def faults_of(numbers: dict[str, Any]) -> list[str]:
    """Return what was otherwise than it must be, in words."""
    events = numbers["events"]
    found = [f"events: {name} is {events[name]}" for name in _MUST_BE_NONE if events[name]]
    if not events["has_follower_caught_up"]:
        found.append("events: the follower did not catch up")
    gateways, head = numbers.get("gateways", {}), numbers.get("head", {})
    parts = {f"gateways: {name}": one for name, one in gateways.items()}
    parts |= {name: head[name] for name in ("while_away", "while_coming") if name in head}
    parts |= {name: numbers[name] for name in ("code", "model", "auto") if name in numbers}
    for name, part in parts.items():
        if part["longest_unanswered_seconds"] > _MAX_BACK_SECONDS:
            found.append(f"{name}: a stream did not answer for {part['longest_unanswered_seconds']:.1f} s")
        found += [f"{name}: {count} streams moved" for count in (part.get("num_moved"),) if count]
    if head.get("num_moved"):
        found.append(f"head: {head['num_moved']} streams moved")
    for name, wanted in (("code", 0), ("model", numbers.get("model", {}).get("num_streams", 0)), ("auto", 0)):
        if name in numbers and numbers[name]["num_begun_anew"] != wanted:
            found.append(f"{name}: {numbers[name]['num_begun_anew']} streams began anew, not {wanted}")
    if numbers.get("auto", {}).get("num_moved_when_grown"):
        found.append("auto: a stream moved when a replica came")
    return found


def main() -> int:
    """Let it live; exit 1 where something went otherwise than it should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    store = os.environ["HERMES_STORE"]  # not an option: the record of a run says the command, and not where
    with TemporaryDirectory(prefix="hr", ignore_cleanup_errors=True) as folder:
        numbers = ClusterLife(Path(folder), store, num_streams=given.streams).run(given.steps)
    write_record(given.out, "cluster_life", {"num_streams": given.streams, **numbers})
    return 0 if numbers["is_right"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
