"""Kill -9 for the whole service: ``hermes serve`` is killed at random moments, and started again, each time.

Streams are pushed by a client that never waits, one is a file at its own pace; questions are asked, events
are followed. Every stream must be back by itself, 5 s after the model is loaded; its memory must be the one
of an undisturbed run over the same frames and chunks, bit for bit; a second of frames may be lost, and no
event that was committed. Exits 1 where it was otherwise.

    python -m hermes_lab.stress.service_kills --kills 50 --streams 8 --out results/stress_service_kills.json
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hermes_lab.stress.asked_questions import Asker
from hermes_lab.stress.followed_events import Follower, compare_events, recorded_events
from hermes_lab.stress.numbered_frames import LiveClient, numbered_frame, picture
from hermes_lab.stress.record import write_record
from hermes_lab.stress.recorded_life import STYLES
from hermes_lab.stress.served_program import ServedProgram, low_priority
from hermes_lab.stress.undisturbed import Gathering, compare
from hermes_stream.cli.opening import share_processors
from hermes_stream.client import Client
from hermes_stream.models import VideoModel, load_model
from hermes_stream.stream.changes import FrameCame
from hermes_stream.video import FileSource, write_video
from hermes_stream.video.frame import Frame

_FPS = 2.0
_FILE_SECONDS = 10  # that the file plays between two kills, at most
_LIFE_SECONDS = 3.0
_START_KILL_SHARE = 0.2
_MAX_BACK_SECONDS = 5.0
_MAX_LOST_SECONDS = 1.0
_FILE_STREAM = "file"
_OPTIONS = ("--snapshot-every-seconds", "1.3", "--fps", str(_FPS), "--text-tokens", "128")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """One time that the program was started and took work again.

    Attributes:
        num_kills: before it took work: those while it was starting, too.
        start_seconds: from its start until it took work, importing and loading included.
        back_seconds: of these, from the model being loaded until it took work with all streams.
        recovery_seconds: of these, until the service had all streams back, before its server began.
        lost_seconds: from the oldest frame that was acknowledged and is lost until the kill; 0 without one.
        num_lost_frames: acknowledged, and behind what came back.
        num_not_back: streams that were not open again, or remember nothing.
        num_unanswered: streams whose first question was not answered.
    """

    num_kills: int
    start_seconds: float
    back_seconds: float
    recovery_seconds: float
    lost_seconds: float
    num_lost_frames: int
    num_not_back: int
    num_unanswered: int


@dataclass(slots=True)
class _Frames:
    """Frames of pushed streams that were acknowledged and are not lost, by stream."""

    kept: dict[str, set[int]] = field(default_factory=dict)


class KilledService:
    """A service of streams that lives, is killed and comes back.

    Args:
        model: that the program loads, too.
        folder: of the service and of the file.
        num_streams: streams, one of them a file.
        num_kills: how often it will be killed.
        seed: of moments and questions.
    """

    def __init__(
        self, model: VideoModel, folder: Path, *, num_streams: int, num_kills: int, seed: int
    ) -> None:
        self._model, self._rng = model, random.Random(seed)
        self._names = [f"s{index}" for index in range(num_streams - 1)]
        num_file_frames = round(_FPS * (60 + _FILE_SECONDS * num_kills))
        self._file = folder / "clip.mp4"
        write_video(self._file, (picture(999, k) for k in range(num_file_frames)), fps=_FPS)
        self._program = ServedProgram(folder / "service", _OPTIONS)
        self._gathering = Gathering(self._program.data_dir)
        self._frames = _Frames(kept={name: set() for name in self._names})
        self._client = Client(self._program.url, timeout_seconds=60.0)
        self._seed, self._num_kills = seed, num_kills

    @property
    def _every(self) -> list[str]:
        return [*self._names, _FILE_STREAM]

    def run(self) -> dict[str, Any]:
        """Kill the program again and again; return numbers for the record."""
        try:
            self._begin()
            self._pushing = LiveClient(self._program.url, self._names, _FPS)
            self._follower = Follower(self._program.url)
            self._asker = Asker(self._program.url, self._every, seed=self._seed)
            try:
                restarts = self._kill_again_and_again(self._num_kills)
            finally:
                self._pushing.stop()
                self._asker.stop()
            return self._end(restarts)
        finally:
            self._program.close()
            self._gathering.close()

    def _begin(self) -> None:
        began = self._program.start(["--source", f"{_FILE_STREAM}={self._file}"])
        self._first_start_seconds = self._program.wait_until_ready() - began
        for index, name in enumerate(self._names):
            self._client.open_stream(name, **_choices(self._model, index))

    def _kill_again_and_again(self, num_kills: int) -> list[Restart]:
        restarts: list[Restart] = []
        num_left, start_seconds = num_kills, self._first_start_seconds
        while num_left:
            time.sleep(self._rng.uniform(0.05, _LIFE_SECONDS))
            self._program.kill()
            self._asker.note_death(self._program.killed_at)
            num_before = num_left
            num_left -= 1
            killed_at = self._program.killed_at
            self._gathering.after_death()
            began = self._program.start()
            while num_left and self._rng.random() < _START_KILL_SHARE:
                # the end of a start, where memories come back, more often than imports
                time.sleep(self._rng.uniform(0.3, 1.05) * start_seconds)
                self._program.kill()
                num_left -= 1
                self._gathering.after_death()
                began = self._program.start()
            restarts.append(self._look(began, killed_at, num_before - num_left))
            start_seconds = restarts[-1].start_seconds
        return restarts

    def _look(self, began: float, killed_at: float, num_kills: int) -> Restart:
        """Look at what came back, as soon as the program takes work."""
        ready = self._program.wait_until_ready()
        (started,) = self._client.events(kind=["service_started"], newest_first=True, limit=1)
        recovery = float(started.payload["recovery_seconds"])
        status = {one.name: one.document for one in self._client.streams()}
        num_lost, lost_seconds = self._lost(status, killed_at, began)
        for name in status:
            saved = self._client.save_snapshot(name)
            self._gathering.of_restored(name, saved.document["path"])
            self._client.delete_snapshot(name, saved.id)
        return Restart(
            num_kills=num_kills,
            start_seconds=ready - began,
            back_seconds=ready - (started.wall_seconds - recovery),
            recovery_seconds=recovery,
            lost_seconds=lost_seconds,
            num_lost_frames=num_lost,
            num_not_back=sum(not _is_back(status.get(name)) for name in self._every),
            num_unanswered=sum(not self._asker.ask(self._client, name) for name in self._every),
        )

    def _lost(self, status: Mapping[str, Any], killed_at: float, began: float) -> tuple[int, float]:
        """Return how many acknowledged frames are behind what came back, and since when they came."""
        num_lost, lost_seconds = 0, 0.0
        for name in self._names:
            until = status.get(name, {}).get("restored_until_seconds")
            newest = -1 if until is None else round(until * _FPS)
            came = self._pushing.take_acknowledged(name, until=began)
            self._frames.kept[name] |= {number for number, _ in came if number <= newest}
            lost = [at for number, at in came if number > newest]
            num_lost += len(lost)
            lost_seconds = max([lost_seconds, *(killed_at - at for at in lost)])
        return num_lost, lost_seconds

    def _end(self, restarts: list[Restart]) -> dict[str, Any]:
        """Compare events, end the program in order, compare memories."""
        recorded = recorded_events(self._client)
        has_caught_up = self._follower.wait_for(recorded[-1].id)
        followed = [event for event in tuple(self._follower.events) if event.id <= recorded[-1].id]
        for name in self._names:  # what was acknowledged in the last life is not lost: it ends in order
            came = self._pushing.take_acknowledged(name)
            self._frames.kept[name] |= {number for number, _ in came}
        self._client.close()
        exit_status = self._program.end()
        self._gathering.after_death()
        events = compare_events(followed, recorded)
        answers = self._asker.summary([one for one in recorded if one.kind == "answered"])
        memories = {name: self._compared(index, name) for index, name in enumerate(self._every)}
        return summary(restarts, memories, events, answers) | {
            "num_refused_frames": self._pushing.num_refused,
            "num_dropped_frames": self._pushing.num_dropped,
            "has_follower_caught_up": has_caught_up,
            "exit_status_at_sigterm": exit_status,
            "load_average": os.getloadavg()[:1],
        }

    def _compared(self, index: int, name: str) -> dict[str, Any]:
        gathered = self._gathering.streams[name]
        if name == _FILE_STREAM:
            frames = [one.image for one in FileSource(self._file)]
            found = compare(self._model, gathered, {"fps": _FPS, "text_tokens": 128}, _of_file(frames))
        else:
            options = {**_choices(self._model, index), "fps": _FPS, "text_tokens": 128}
            found = compare(
                self._model, gathered, options, lambda pts: numbered_frame(index, round(pts * _FPS), _FPS)
            )
        came = [
            round(one.what.frame.pts_seconds * _FPS)
            for one in gathered.changes
            if isinstance(one.what, FrameCame)
        ]
        expected = self._frames.kept.get(name, set(range(max(came, default=-1) + 1)))
        return found | {
            "num_frames": len(came),
            "num_missing_frames": len(expected - set(came)),
            "num_doubled_frames": len(came) - len(set(came)),
        }


def _choices(model: VideoModel, index: int) -> dict[str, Any]:
    """Return what a pushed stream is opened with: each its own kind of memory, small enough to be full."""
    budget = 8 * model.card.tokens_per_temporal_patch
    return {**STYLES[index % len(STYLES)], "budget_tokens": budget, "chunk_frames": 4}


def _of_file(images: list[Any]) -> Callable[[float], Frame]:
    return lambda pts: Frame(pts_seconds=pts, image=images[round(pts * _FPS)])


def _is_back(status: Mapping[str, Any] | None) -> bool:
    return status is not None and status["state"] in ("live", "waiting", "opening", "ended")


def summary(
    restarts: list[Restart],
    memories: Mapping[str, Mapping[str, Any]],
    events: Mapping[str, Any],
    answers: Mapping[str, Any],
) -> dict[str, Any]:
    """Return numbers for the record, and whether all was as it must be."""

    def most(name: str) -> Any:
        return max(getattr(one, name) for one in restarts)

    def total(name: str) -> int:
        return sum(one[name] for one in memories.values())

    numbers = {
        "num_kills": sum(one.num_kills for one in restarts),
        "num_kills_while_starting": sum(one.num_kills - 1 for one in restarts),
        "num_restarts": len(restarts),
        "max_start_seconds": most("start_seconds"),
        "max_back_seconds": most("back_seconds"),
        "max_recovery_seconds": most("recovery_seconds"),
        "max_lost_seconds": most("lost_seconds"),
        "max_lost_frames": most("num_lost_frames"),
        "num_not_back": sum(one.num_not_back for one in restarts),
        "num_unanswered": sum(one.num_unanswered for one in restarts),
        "num_memories": total("num_memories"),
        "num_same_memories": total("num_same_memories"),
        "num_missing_frames": total("num_missing_frames"),
    }
    nothing = [
        *(numbers[name] for name in ("num_not_back", "num_unanswered", "num_missing_frames")),
        *(total(name) for name in ("num_wrong_pictures", "num_missing_changes", "num_doubled_frames")),
        total("num_unreadable_snapshots"),
        numbers["num_memories"] - numbers["num_same_memories"],
        *(count for name, count in events.items() if name.startswith("num_") and name in _MUST_BE_NONE),
        answers["num_unrecorded"],
    ]
    is_right = (
        not any(nothing)
        and numbers["max_back_seconds"] <= _MAX_BACK_SECONDS
        and numbers["max_lost_seconds"] <= _MAX_LOST_SECONDS
    )
    return {
        **numbers,
        "is_right": is_right,
        "events": dict(events),
        "answers": dict(answers),
        "streams": {name: dict(one) for name, one in memories.items()},
        "restarts": [asdict(one) for one in restarts],
    }


_MUST_BE_NONE = {
    "num_missed_events",
    "num_doubled_events",
    "num_events_out_of_order",
    "num_lost_committed_events",
    "num_changed_events",
    "num_recorded_twice",
}


def main() -> None:
    """Kill ``hermes serve`` again and again; exit 1 where it came back otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--streams", type=int, default=8, help="of which one is a file; at least 2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    share_processors(1)  # sums as the program makes them, to the last bit
    low_priority()
    with TemporaryDirectory() as folder:
        killed = KilledService(
            load_model("tiny"),
            Path(folder),
            num_streams=given.streams,
            num_kills=given.kills,
            seed=given.seed,
        )
        numbers = killed.run()
    write_record(given.out, "service_kills", {"seed": given.seed, "num_streams": given.streams, **numbers})
    raise SystemExit(0 if numbers["is_right"] else 1)


if __name__ == "__main__":
    main()
