"""The folder of a run: its predictions, as they come, and the settings that they hold for.

A run that was killed goes on where it stopped: what was watched to its end is not watched again. A video that
was cut short is watched from its start, as an answer may depend on the questions before it. Several programs
may share a folder: each writes files of its own into it, and a second one that would write them is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.files import is_folder, read_json, reading
from hermes_lab.evaluation.predictions import Run, RunKey
from hermes_lab.evaluation.responses import join, line_of, read_lines
from hermes_lab.evaluation.run_files import Lines, append_lines, replace_file, unwritable, whole_lines
from hermes_lab.evaluation.writer_lock import only_writer
from hermes_stream.errors import AnnotationError

MANIFEST = "manifest.json"
PREDICTIONS = "predictions"
SKIPPED = "skipped"


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
    """The files of one run: a line for each answer, with the policy, budget and seed that gave it.

    Args:
        folder: where they are; made where it is missing.
        shard: which part of the run this program has; None is all of it.

    Raises:
        AnnotationError: the folder cannot be made.
    """

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        self._folder = folder
        part = f"-{shard.index}-of-{shard.count}" if shard else ""
        self._predictions = folder / f"{PREDICTIONS}{part}.jsonl"
        self._skipped = folder / f"{SKIPPED}{part}.jsonl"
        self._lock = folder / f".writer{part}.lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only program that writes this part of the run.

        Raises:
            AnnotationError: another program does.
        """
        with only_writer(self._lock):
            yield

    def begin(
        self, settings: dict[str, Any], circumstances: dict[str, Any], scoring: dict[str, Any]
    ) -> list[str]:
        """Store the settings, or check that they are those of the run that is there already.

        Args:
            settings: all that may change a prediction, as JSON takes it.
            circumstances: what should not, such as versions and the machine.
            scoring: what changes scores alone, and may change from one start of the run to the next.

        Returns:
            Which circumstances differ from those of the run that is there.

        Raises:
            AnnotationError: a run with other settings is there, or the manifest cannot be written.
        """
        document = {"settings": settings, "circumstances": circumstances, "scoring": scoring}
        manifest = json.loads(json.dumps(document))
        path = self._folder / MANIFEST
        if not path.exists():
            if prediction_files(self._folder):
                raise AnnotationError(
                    f"{self._folder} holds predictions without {MANIFEST}, so their settings are unknown; "
                    "give another folder"
                )
            replace_file(path, json.dumps(manifest, indent=1) + "\n")
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
            replace_file(path, json.dumps(held | {"scoring": manifest["scoring"]}, indent=1) + "\n")
        return _differences(held.get("circumstances"), manifest["circumstances"])

    def runs(self, episodes: Sequence[Episode]) -> dict[RunKey, Run]:
        """Return what was watched to its end, by this program and by others.

        Args:
            episodes: what is asked; of other videos nothing is returned.

        Raises:
            AnnotationError: a file cannot be read, or holds answers to other questions about these videos.
        """
        by_name: dict[tuple[str, int | None, int | None], Lines] = {}
        for line in (line for file in prediction_files(self._folder) for line in read_lines(file)):
            by_name.setdefault(_policy_of(line), []).append(line)
        found: dict[RunKey, Run] = {}
        for name, lines in by_name.items():
            self._check_questions(episodes, lines)
            answers = {one.question.question_id: one for one in join(episodes, lines).predictions}
            for episode in episodes:
                own = [answers.get(question.question_id) for question in episode.questions]
                key = RunKey(episode.name, *name)
                if own and None not in own:
                    found[key] = Run(key=key, predictions=tuple(one for one in own if one is not None))
        for file in sorted(self._folder.glob(f"{SKIPPED}*.jsonl")):
            for line in whole_lines(file):
                key = RunKey(str(line.get("video")), *_policy_of(line))
                found[key] = Run(key=key, skipped=str(line.get("reason")))
        return found

    def keep_whole(self, episodes: Sequence[Episode]) -> dict[RunKey, Run]:
        """Drop answers that this program wrote to videos that were cut short, and return the other runs.

        Args:
            episodes: those of this part.

        Raises:
            AnnotationError: a file cannot be read or written.
        """
        runs = self.runs(episodes)
        video_of = {q.question_id: one.name for one in episodes for q in one.questions}
        if self._predictions.exists():
            kept = [
                line
                for line in read_lines(self._predictions)
                if str(line["question_id"]) not in video_of
                or RunKey(video_of[str(line["question_id"])], *_policy_of(line)) in runs
            ]
            replace_file(self._predictions, "".join(json.dumps(line) + "\n" for line in kept))
        if self._skipped.exists():
            kept = whole_lines(self._skipped)
            replace_file(self._skipped, "".join(json.dumps(line) + "\n" for line in kept))
        return runs

    def add(self, runs: Iterable[Run]) -> None:
        """Write the runs of one video.

        Raises:
            AnnotationError: a file cannot be written.
        """
        answers, skipped = [], []
        for run in runs:
            _, policy, budget_tokens, seed = run.key
            name = {"policy": policy, "budget_tokens": budget_tokens, "seed": seed}
            for one in run.predictions:
                answers.append(line_of(one) | name | {"question_digest": digest_of(one.question)})
            if run.skipped is not None:
                skipped.append({"video": run.key.video, **name, "reason": run.skipped})
        append_lines(self._predictions, answers)
        append_lines(self._skipped, skipped)

    def check_whole(self, runs: Iterable[Run]) -> None:
        """Read again what is stored, and make sure that nothing is missing.

        Args:
            runs: all that this program made or found.

        Raises:
            AnnotationError: answers are missing.
        """
        stored = {
            (_policy_of(line), str(line["question_id"]))
            for file in prediction_files(self._folder)
            for line in read_lines(file)
        }
        wanted = [
            ((run.key.policy, run.key.budget_tokens, run.key.seed), one.question.question_id)
            for run in runs
            for one in run.predictions
        ]
        num_missing = sum(name not in stored for name in wanted)
        if num_missing:
            raise AnnotationError(
                f"{self._folder} holds {len(wanted) - num_missing} of {len(wanted)} answers that were given: "
                "something else changed its files; start again, it goes on where it was"
            )

    def _check_questions(self, episodes: Sequence[Episode], lines: Lines) -> None:
        digests = {q.question_id: digest_of(q) for one in episodes for q in one.questions}
        for line in lines:
            wanted = digests.get(str(line["question_id"]))
            if wanted is not None and line.get("question_digest", wanted) != wanted:
                raise AnnotationError(
                    f"{self._folder} holds answers to other questions about {line.get('video')}; give the "
                    "annotations that it was begun with, or another folder"
                )


def prediction_files(path: Path) -> list[Path]:
    """Return the files of predictions in a folder, or the file itself where it is one.

    Raises:
        AnnotationError: the system refuses to list the folder.
    """
    if not is_folder(path):
        return [path]
    with reading(path):
        return sorted(path.glob(f"{PREDICTIONS}*.jsonl"))


def digest_of(question: EvalQuestion) -> str:
    """Return a digest that changes with what is asked, when, and with its truth."""
    asked = (question.preamble + question.text, question.answer, question.options, question.asked_seconds)
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def _policy_of(line: dict[str, Any]) -> tuple[str, int | None, int | None]:
    """Return policy, budget and seed of a line; values that this module never writes count as none."""
    policy, budget_tokens, seed = line.get("policy"), line.get("budget_tokens"), line.get("seed")
    return (
        policy if isinstance(policy, str) else "",
        budget_tokens if isinstance(budget_tokens, int) else None,
        seed if isinstance(seed, int) else None,
    )


def _differences(held: Any, new: dict[str, Any]) -> list[str]:
    held = held if isinstance(held, dict) else {}
    return [
        f"{name} is {held.get(name)!r} there and {new.get(name)!r} here"
        for name in sorted({*held, *new})
        if held.get(name) != new.get(name)
    ]
