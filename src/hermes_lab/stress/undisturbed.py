"""What a stream would remember if nothing had ever happened to it: all its changes, done in one go.

The changes are gathered from the journals that a killed program leaves, life by life; the memories to compare
are those of its snapshots.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any

import numpy as np

from hermes_lab.stress.recorded_life import digest_of
from hermes_stream.models import VideoModel
from hermes_stream.service.journal import Journal
from hermes_stream.service.seating import add
from hermes_stream.service.settings import StreamSettings
from hermes_stream.service.stream_choices import StreamChoices
from hermes_stream.stream import Engine, Snapshot
from hermes_stream.stream.changes import Change, FrameCame
from hermes_stream.video.frame import Frame

_LOOK_SECONDS = 0.05


@dataclass(slots=True)
class Gathered:
    """What is known of one stream.

    Attributes:
        changes: all that lasted, in order.
        memories: digest of each memory that was found, with the number of changes in it and where it was.
        num_missing_changes: numbers that no journal had.
        num_torn: journals whose end was cut off.
        num_unreadable: snapshots that could not be read.
    """

    changes: list[Change] = field(default_factory=list)
    memories: list[tuple[int, str, str]] = field(default_factory=list)
    num_missing_changes: int = 0
    num_torn: int = 0
    num_unreadable: int = 0

    def take(self, folder: Path) -> None:
        """Take the changes of a journal that are new; its files are left as they are."""
        with TemporaryDirectory() as copied:
            copy = Path(shutil.copytree(folder, Path(copied) / "journal"))
            journal = Journal(copy)
            self.num_torn += journal.num_cut_bytes > 0
            newest = self.changes[-1].number if self.changes else 0
            for change in journal.changes(newest):
                self.num_missing_changes += change.number - newest - 1
                newest = change.number
                self.changes.append(change)
            journal.close()

    def look_at(self, path: Path, where: str) -> None:
        """Remember what a snapshot's file holds."""
        try:
            snapshot = Snapshot.read(path)
        except Exception:  # whatever it is: a snapshot under its name must be whole
            self.num_unreadable += 1
            return
        self.memories.append((snapshot.num_changes, digest_of(snapshot.state), where))


class Gathering:
    """Gathers what a program leaves in its data folder, stream by stream.

    Args:
        data_dir: of the program.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir, self._kept = data_dir, data_dir.with_name(f"{data_dir.name}-journals")
        self._seen: set[tuple[Path, int]] = set()
        self.streams: dict[str, Gathered] = defaultdict(Gathered)
        self._linking, self._over = Lock(), Event()
        self._thread = Thread(target=self._run, name="gathering", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gather no more; safe to repeat."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._keep_journals()

    def _keep_journals(self) -> None:
        """Give each file of a journal a second name: it lasts where the program forgets it."""
        with self._linking:
            for path in (self._data_dir / "journals").glob("*-*/*.journal"):
                kept = self._kept / path.parent.name / path.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # it was forgotten meanwhile
                    if kept.exists() and not kept.samefile(path):
                        kept.unlink()  # the program began it anew
                    if not kept.exists():
                        kept.hardlink_to(path)

    def after_death(self) -> None:
        """Look at all journals and new snapshots; the program must not run."""
        self._keep_journals()
        with self._linking:
            for folder in sorted(self._kept.glob("*-*")):
                self.streams[_stream_of(folder)].take(folder)
                shutil.rmtree(folder)
        for folder in sorted((self._data_dir / "snapshots").glob("*-*")):
            for path in sorted(folder.glob("[0-9]*.safetensors")):
                known = (path, path.stat().st_mtime_ns)
                if known not in self._seen:
                    self._seen.add(known)
                    self.streams[_stream_of(folder)].look_at(path, "saved in time")

    def of_restored(self, name: str, path: str) -> None:
        """Look at a snapshot of a stream that has just come back; the program runs.

        Args:
            name: of the stream.
            path: of the snapshot, within the data folder.
        """
        file = self._data_dir / path
        self._seen.add((file, file.stat().st_mtime_ns))
        self.streams[name].look_at(file, "restored")


def _stream_of(folder: Path) -> str:
    return folder.name.partition("-")[2]


def compare(
    model: VideoModel, gathered: Gathered, options: Mapping[str, Any], expected: Callable[[float], Frame]
) -> dict[str, Any]:
    """Do a stream's changes again from its beginning, and compare every memory that was found.

    Args:
        model: watches.
        gathered: changes and memories.
        options: that the stream was opened with.
        expected: returns the frame that was sent, by its time.

    Returns:
        Numbers for the record.
    """
    engine = Engine(model)
    choices = StreamChoices.resolve(model, StreamSettings(**options))
    handle = add(engine, choices)
    wanted = defaultdict(list)
    for number, digest, where in gathered.memories:
        wanted[number].append((digest, where))
    wrong: list[str] = []
    num_same, num_wrong_pictures, num_compared = 0, 0, 0
    for change in [None, *gathered.changes]:
        if change is not None and change.number != handle.num_changes + 1:
            break  # a hole: told as missing changes, and nothing behind it can be compared
        if change is not None:
            sent = _as_sent(change, model, expected)
            num_wrong_pictures += not _shows_the_same(change, sent)
            handle.stream.replay([sent])
        found = wanted.pop(handle.num_changes, [])
        own = digest_of(handle.stream.saved()) if found else ""
        wrong += [f"{where} at change {handle.num_changes}" for digest, where in found if digest != own]
        num_same += sum(digest == own for digest, _ in found)
        num_compared += len(found)
    beyond = [f"{where} at change {number}" for number, all_of in wanted.items() for _, where in all_of]
    return {
        "num_changes": len(gathered.changes),
        "num_memories": num_compared + len(beyond),
        "num_same_memories": num_same,
        "wrong_memories": wrong,
        "memories_beyond_the_journal": beyond,
        "num_wrong_pictures": num_wrong_pictures,
        "num_missing_changes": gathered.num_missing_changes,
        "num_unreadable_snapshots": gathered.num_unreadable,
        "num_torn_journals": gathered.num_torn,
        "num_compressions": handle.stream.cache.num_compressions,
    }


def _as_sent(change: Change, model: VideoModel, expected: Callable[[float], Frame]) -> Change:
    """Return a change with the picture that was sent, not the one that was recorded."""
    if not isinstance(change.what, FrameCame):
        return change
    recorded = change.what.frame
    sent = model.shrink(expected(recorded.pts_seconds))
    return replace(change, what=replace(change.what, frame=replace(recorded, image=sent.image)))


def _shows_the_same(one: Change, other: Change) -> bool:
    if not (isinstance(one.what, FrameCame) and isinstance(other.what, FrameCame)):
        return True
    return np.array_equal(one.what.frame.image, other.what.frame.image)
