"""Kill -9 of replicas: each kill takes one of three, whose streams must answer again from another one.

Streams are pushed by a client that never waits, questions are asked, events are followed by one connection
through the gateway. Streams of the other replicas must not notice; a replica that comes back must move none;
no event may be lost or doubled. What the gateway adds is measured by asking through it and beside it, turn
about. Exits 1 where it was otherwise.

    HERMES_STORE=postgresql://user@host/empty \
        python -m hermes_lab.stress.cluster_kills --kills 20 --out results/stress_cluster_kills.json
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_lab.stress.followed_events import Follower, compare_events, recorded_events
from hermes_lab.stress.numbered_frames import LiveClient
from hermes_lab.stress.record import write_record
from hermes_lab.stress.served_program import ServedProgram
from hermes_stream.client import Client
from hermes_stream.errors import HermesError
from hermes_stream.service.ownership.directory import Directory

_FPS = 2.0
_MAX_BACK_SECONDS, _MAX_GATEWAY_SECONDS = 15.0, 0.005
_WAIT_SECONDS = 120.0
_QUESTION = "what is on screen now?"
_MUST_BE_NONE = (
    *("num_missed_events", "num_doubled_events", "num_events_out_of_order"),
    *("num_lost_committed_events", "num_changed_events", "num_recorded_twice"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill.

    Attributes:
        num_streams: that the replica had.
        owned_seconds: from the kill until others had all of them, as the record says.
        answered_seconds: from the kill until each had answered a question again.
        num_others_failed: questions to streams of other replicas meanwhile that were not answered.
        num_others_moved: streams of other replicas that changed their owner or epoch.
        joined_seconds: from the kill until there was another replica instead.
        num_moved_at_join: streams that changed their owner or epoch when it came.
    """

    num_streams: int
    owned_seconds: float
    answered_seconds: float
    num_others_failed: int
    num_others_moved: int
    joined_seconds: float
    num_moved_at_join: int


class KilledCluster:
    """Three replicas behind a gateway, whose processes are killed.

    Args:
        folder: that they share.
        store: address of an empty Postgres database.
        num_streams: streams that are pushed.
        seed: of who is killed.
    """

    def __init__(self, folder: Path, store: str, *, num_streams: int, seed: int) -> None:
        options = ["--cluster", "--replicas", "3", "--store", store, "--threads", "1"]
        self._program = ServedProgram(folder / "cluster", [*options, "--snapshot-every-seconds", "20"])
        self._names = [f"s{index}" for index in range(num_streams)]
        self._random, self._store = random.Random(seed), store
        self._num_asked = 0

    def run(self, num_kills: int) -> dict[str, Any]:
        """Kill again and again; return numbers for the record."""
        began = self._program.start()
        with ExitStack() as ending:
            ending.callback(self._program.close)
            start_seconds = self._program.wait_until_ready() - began
            self._directory = Directory(self._store)
            ending.callback(self._directory.close)
            self._client = ending.enter_context(Client(self._program.url, timeout_seconds=30.0))
            self._wait_for(lambda: len(self._alive()) == 3)
            for name in self._names:
                self._client.open_stream(name, chunk_frames=4, fps=_FPS)
            pushing = LiveClient(self._program.url, self._names, _FPS)
            follower = Follower(self._program.url)
            try:
                self._wait_for(lambda: all(self._answers(name) for name in self._names))
                before = self._held()
                gateway = self._gateway_seconds()
                kills = [self._kill() for _ in range(num_kills)]
                after = self._held()
            finally:
                pushing.stop()
            recorded = recorded_events(self._client)
            has_caught_up = follower.wait_for(recorded[-1].id)
            followed = [event for event in tuple(follower.events) if event.id <= recorded[-1].id]
            ended = time.time()
            exit_status = self._program.end()
            numbers = {
                "start_seconds": start_seconds,
                "end_seconds": time.time() - ended,
                "exit_status_at_sigterm": exit_status,
                "has_follower_caught_up": has_caught_up,
                "events": compare_events(followed, recorded),
                "held_before": before,
                "held_after": after,
                "gateway": gateway,
                "kills": [asdict(kill) for kill in kills],
                "load_average": os.getloadavg()[:1],
            }
            return numbers | judged(numbers, kills)

    def _alive(self) -> dict[str, Any]:
        return {row.name: row for row in self._directory.replicas.all() if row.is_alive}

    def _owners(self) -> dict[str, tuple[str, int]]:
        """Return replica and epoch of each stream that somebody has."""
        found = {name: self._directory.replicas.owner_of(name) for name in self._names}
        return {
            name: (owner.replica.name, owner.epoch)
            for name, owner in found.items()
            if owner is not None and owner.replica is not None
        }

    def _kill(self) -> Kill:
        owners, alive = self._owners(), self._alive()
        able = [name for name in alive if any(owner == name for owner, _ in owners.values())]
        victim = self._random.choice(able)
        own = [name for name, (owner, _) in owners.items() if owner == victim]
        others = [name for name in self._names if name not in own]
        os.kill(listener_at(alive[victim].address), signal.SIGKILL)
        began, owned, num_failed = time.monotonic(), None, 0
        waiting = set(own)
        while waiting and time.monotonic() - began < _WAIT_SECONDS:
            num_failed += sum(not self._answers(name) for name in others[:1])
            now = self._owners()
            if owned is None and all(now.get(name, owners[name]) != owners[name] for name in own):
                owned = time.monotonic() - began
            waiting -= {name for name in waiting if now.get(name) != owners[name] and self._answers(name)}
            time.sleep(0.1)
        answered = time.monotonic() - began
        settled = self._owners()
        self._wait_for(lambda: len(self._alive()) == 3 and victim not in self._alive())
        joined = time.monotonic() - began
        time.sleep(3.0)  # would it take something
        finally_had = self._owners()
        return Kill(
            num_streams=len(own),
            owned_seconds=answered if owned is None else owned,
            answered_seconds=answered if not waiting else _WAIT_SECONDS,
            num_others_failed=num_failed,
            num_others_moved=sum(settled.get(name) != owners[name] for name in others),
            joined_seconds=joined,
            num_moved_at_join=sum(finally_had.get(name) != settled.get(name) for name in self._names),
        )

    def _answers(self, name: str) -> bool:
        self._num_asked += 1  # each question is another, so that an answer that is recorded twice is seen
        question = f"{_QUESTION} {self._num_asked}"
        try:
            answer = self._client.ask(name, question, max_new_tokens=2, num_moments=0)
        except (HermesError, ValueError):
            return False
        return answer.finish_reason in ("stop", "length")

    def _gateway_seconds(self, num_asked: int = 60) -> dict[str, float]:
        """Ask through the gateway and beside it, turn about; return medians of the time to first token."""
        name = self._names[0]
        owner = self._directory.replicas.owner_of(name)
        assert owner is not None
        assert owner.replica is not None
        taken: dict[str, list[float]] = {"gateway": [], "direct": []}
        with Client(owner.replica.address, timeout_seconds=30.0) as direct:
            for _ in range(num_asked):
                for where, client in (("gateway", self._client), ("direct", direct)):
                    self._num_asked += 1
                    question = f"{_QUESTION} {self._num_asked}"
                    began = time.perf_counter()
                    pieces = client.ask_in_pieces(name, question, max_new_tokens=2, num_moments=0)
                    next(pieces)
                    taken[where].append(time.perf_counter() - began)
                    list(pieces)
        middle = {where: statistics.median(seconds) for where, seconds in taken.items()}
        return {
            "num_asked": num_asked,
            "direct_ttft_seconds": middle["direct"],
            "gateway_ttft_seconds": middle["gateway"],
            "added_seconds": middle["gateway"] - middle["direct"],
        }

    def _held(self) -> dict[str, int]:
        """Return what might leak: processes, connections of the database, bytes of gateway and replicas."""
        rows = self._directory.replicas
        with rows._database.reading() as connection:
            count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            num_connections = int(connection.exec_driver_sql(count).scalar() or 0)
        processes = ray_processes()
        return {
            "num_processes": len(processes),
            "num_connections": num_connections,
            "gateway_bytes": sum(resident_bytes(pid) for pid, name in processes if "gateway" in name),
        }

    def _wait_for(self, condition: Any) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"it did not come within {_WAIT_SECONDS:g} s: {self._program.log[-4000:]}")
            time.sleep(0.2)


def listener_at(address: str) -> int:
    """Return the process that listens at an address of this machine.

    Raises:
        RuntimeError: there is none.
    """
    port = int(address.rpartition(":")[2])
    wanted = None
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].partition(":")[2], 16) == port:
            wanted = f"socket:[{fields[9]}]"
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) == wanted for link in (folder / "fd").iterdir()):
                return int(folder.name)
        except OSError:
            continue
    raise RuntimeError(f"nobody listens at {address}")


def ray_processes() -> list[tuple[int, str]]:
    """Return processes of Ray on this machine that run a part of an application, and what they are called."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if name.startswith("ray::ServeReplica"):
            found.append((int(folder.name), name))
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def judged(numbers: Mapping[str, Any], kills: Sequence[Kill]) -> dict[str, Any]:
    """Return the worst of all kills, and whether all was as it must be."""
    worst = {
        "max_answered_seconds": max((kill.answered_seconds for kill in kills), default=0.0),
        "max_owned_seconds": max((kill.owned_seconds for kill in kills), default=0.0),
        "num_others_failed": sum(kill.num_others_failed for kill in kills),
        "num_others_moved": sum(kill.num_others_moved for kill in kills),
        "num_moved_at_join": sum(kill.num_moved_at_join for kill in kills),
    }
    nothing = [worst[name] for name in worst if name.startswith("num_")]
    nothing += [numbers["events"][name] for name in _MUST_BE_NONE]
    is_right = (
        not any(nothing)
        and numbers["has_follower_caught_up"]
        and worst["max_answered_seconds"] <= _MAX_BACK_SECONDS
        and numbers["exit_status_at_sigterm"] == 0
    )
    is_quick = numbers["gateway"]["added_seconds"] <= _MAX_GATEWAY_SECONDS
    return {**worst, "is_right": is_right, "is_gateway_quick": is_quick}


def main() -> int:
    """Kill replicas again and again; exit 1 where their streams went on otherwise than they should."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--streams", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    store = os.environ["HERMES_STORE"]  # not an option: the record of a run says the command, and not where
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cluster = KilledCluster(Path(folder), store, num_streams=given.streams, seed=given.seed)
        numbers = cluster.run(given.kills)
    about = {"seed": given.seed, "num_streams": given.streams, "num_kills": given.kills}
    write_record(given.out, "cluster_kills", {**about, **numbers})
    return 0 if numbers["is_right"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
