"""The folder of a run: its predictions, as they come, and the settings that they hold for.

A run that was killed goes on where it stopped. Videos whose questions are all answered are not watched again;
one that was cut short is watched from its start, as an answer may depend on the questions before it. Several
programs may share a run: each writes a file of its own into the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hermes_lab.datasets.episode import Episode
from hermes_lab.datasets.files import read_json
from hermes_lab.evaluation.responses import read_lines, written
from hermes_lab.evaluation.runner import Prediction
from hermes_stream.errors import AnnotationError

MANIFEST = "manifest.json"
SCORES = "scores.json"
PREDICTIONS = "predictions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One part of a run: every ``count``-th video, from the one with the number ``index`` on."""

    index: int
    count: int

    @classmethod
    def read(cls, words: str) -> Shard:
        """Read ``index/count``, such as ``0/4``.

        Raises:
            ValueError: it is no such part.
        """
        index, slash, count = words.partition("/")
        if slash and index.isdecimal() and count.isdecimal() and int(index) < int(count):
            return cls(index=int(index), count=int(count))
        raise ValueError(f"{words!r} is no part of a run; give I/N with I from 0 to N - 1, such as 0/4")

    def of(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Return the episodes of this part."""
        return list(episodes[self.index :: self.count])


@final
class RunFolder:
    """The files of one run.

    Args:
        folder: where they are; made where it is missing.
        shard: which part of the run this program has; None is all of it.

    Raises:
        AnnotationError: the folder cannot be made.
    """

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        self._folder = folder
        part = f"-{shard.index}-of-{shard.count}" if shard else ""
        self._own = folder / f"{PREDICTIONS}{part}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error

    def begin(
        self, settings: dict[str, Any], circumstances: dict[str, Any], scoring: dict[str, Any]
    ) -> list[str]:
        """Store the settings, or check that they are those of the run that is there already.

        Args:
            settings: all that may change a prediction, as JSON takes it.
            circumstances: what should not, such as versions and the machine.
            scoring: what changes scores alone, and may change from one start of the run to the next.

        Returns:
            Which circumstances are others than those of the run that is there.

        Raises:
            AnnotationError: a run with other settings is there, or the manifest cannot be written.
        """
        document = {"settings": settings, "circumstances": circumstances, "scoring": scoring}
        manifest = json.loads(json.dumps(document))
        path, files = self._folder / MANIFEST, self._files()
        if not path.exists():
            if files:
                raise AnnotationError(
                    f"{self._folder} holds predictions without {MANIFEST}, so nobody knows what they hold "
                    "for; give another folder"
                )
            self._replace(path, json.dumps(manifest, indent=1) + "\n")
            return []
        held = read_json(path)
        held = held if isinstance(held, dict) else {}
        other = _differences(held.get("settings"), manifest["settings"])
        if other:
            raise AnnotationError(
                f"{self._folder} holds a run with other settings: {'; '.join(other)}; give another folder, "
                "or the same settings to go on with it"
            )
        if held.get("scoring") != manifest["scoring"]:
            self._replace(path, json.dumps(held | {"scoring": manifest["scoring"]}, indent=1) + "\n")
        return _differences(held.get("circumstances"), manifest["circumstances"])

    def manifest(self) -> dict[str, Any]:
        """Return the stored settings."""
        held = read_json(self._folder / MANIFEST)
        return held if isinstance(held, dict) else {}

    def keep_whole(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Drop the answers to videos of this part that were cut short, and return the episodes to be watched.

        Args:
            episodes: those of this part.

        Raises:
            AnnotationError: a file cannot be read or written.
        """
        answered = {str(line["question_id"]) for line in self.lines()}
        names = [{question.question_id for question in one.questions} for one in episodes]
        cut = set().union(*(own for own in names if not own <= answered))
        if self._own.exists():
            kept = [line for line in read_lines(self._own) if str(line["question_id"]) not in cut]
            self._replace(self._own, "".join(json.dumps(line) + "\n" for line in kept))
        return [one for one, own in zip(episodes, names, strict=True) if not own <= answered]

    @contextmanager
    def writing(self) -> Iterator[Callable[[Prediction], None]]:
        """Give a function that stores a prediction at once.

        Raises:
            AnnotationError: the file cannot be written.
        """
        try:
            with self._own.open("a", encoding="utf-8") as file:

                def write(one: Prediction) -> None:
                    file.write(written(one))
                    file.flush()

                yield write
        except OSError as error:
            raise _unwritable(self._own, error) from error

    def lines(self) -> list[dict[str, Any]]:
        """Return the predictions of all parts."""
        return [line for file in self._files() for line in read_lines(file)]

    def write_scores(self, scores: dict[str, Any]) -> None:
        """Store the scores of the whole run."""
        self._replace(self._folder / SCORES, json.dumps(scores, indent=1, allow_nan=False) + "\n")

    def _files(self) -> list[Path]:
        return prediction_files(self._folder)

    def _replace(self, path: Path, text: str) -> None:
        """Write a file in one step, so that who is killed leaves the old one or the new one."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error


def prediction_files(path: Path) -> list[Path]:
    """Return the files of predictions in a folder, or the file itself where it is one."""
    return sorted(path.glob(f"{PREDICTIONS}*.jsonl")) if path.is_dir() else [path]


def _differences(held: Any, new: dict[str, Any]) -> list[str]:
    held = held if isinstance(held, dict) else {}
    return [
        f"{name} is {held.get(name)!r} there and {new.get(name)!r} here"
        for name in sorted({*held, *new})
        if held.get(name) != new.get(name)
    ]


def _unwritable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(f"{path} cannot be written: {error.strerror}; check permissions and disk space")
