"""What a comparison keeps: a line for each video and contestant, so that one goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from hermes_lab.datasets.episode import Episode
from hermes_stream.errors import AnnotationError

Key = tuple[str, str, int | None, int | None]
"""Video, policy, budget, seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One answer of a run.

    Attributes:
        question_id: what it answers.
        is_right: whether it is the truth.
        answer: what was said.
        option_index: which option was chosen; None for words of its own.
        ttft_seconds: time to first token.
    """

    question_id: str
    is_right: bool
    answer: str
    option_index: int | None
    ttft_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One video watched by one contestant.

    Attributes:
        video: name of the episode: its video, as annotated, and which part of it.
        questions: a digest of what was asked about it.
        policy: what the memory kept, as a word of the command line.
        budget_tokens: visual tokens that each layer might keep; None is no bound.
        seed: of a policy that draws; None for others.
        skipped: why there are no answers; None where there are.
        given: the answers, in the order of the episode's questions.
        num_past_end: questions after the end of the video, answered there.
        num_frames: frames watched.
        num_visual_tokens_seen: visual tokens prefilled.
        num_visual_tokens_kept: most visual tokens in the fullest layer at a question.
        cache_bytes: most bytes of the stream's buffers at a question.
        host_bytes: most bytes of host memory held for questions to come.
        took_seconds: to watch and answer, what the vision tower does for all aside.
    """

    video: str
    questions: str
    policy: str
    budget_tokens: int | None
    seed: int | None
    skipped: str | None = None
    given: tuple[Given, ...] = ()
    num_past_end: int = 0
    num_frames: int = 0
    num_visual_tokens_seen: int = 0
    num_visual_tokens_kept: int = 0
    cache_bytes: int = 0
    host_bytes: int = 0
    took_seconds: float = 0.0

    @property
    def key(self) -> Key:
        """What tells the run from others."""
        return self.video, self.policy, self.budget_tokens, self.seed


def digest_of(episode: Episode) -> str:
    """Return a digest that changes with what is asked about a video."""
    asked = [
        (q.question_id, q.preamble + q.text, q.answer, q.options, q.asked_seconds) for q in episode.questions
    ]
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


@final
class RunFile:
    """The lines of one comparison.

    The first line holds the settings that all runs share; a line that a kill cut short is dropped.

    Args:
        path: a JSONL file; made where it is missing, its folder must exist.
        settings: all that may change an answer beside contestant and questions, as JSON takes it.

    Attributes:
        runs: those that are there, by key.

    Raises:
        AnnotationError: the file cannot be read or written, is no such file, or is of other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self.runs: dict[Key, Run] = {}
        try:
            with path.open("a+b") as file:
                self._begin(file, settings)
        except OSError as error:
            raise _unusable(path, error) from error

    def _begin(self, file: Any, settings: Mapping[str, Any]) -> None:
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            file.truncate(len(whole))
        documents = [self._parsed(number, line) for number, line in enumerate(whole.splitlines(), start=1)]
        if not documents:
            file.write(_line({"settings": dict(settings)}))
            return
        self._check(documents[0], settings)
        for number, document in enumerate(documents[1:], start=2):
            run = self._read(number, document)
            self.runs[run.key] = run

    def check_questions(self, episodes: Sequence[Episode]) -> None:
        """Refuse runs of other questions about the same videos.

        Raises:
            AnnotationError: there is one.
        """
        digests = {episode.name: digest_of(episode) for episode in episodes}
        for run in self.runs.values():
            if digests.get(run.video, run.questions) != run.questions:
                raise AnnotationError(
                    f"{self._path} holds answers to other questions about {run.video}; give the annotations "
                    "that it was begun with, or another folder"
                )

    def add(self, runs: Sequence[Run]) -> None:
        """Write the runs of one video at once.

        Raises:
            AnnotationError: the file cannot be written.
        """
        try:
            with self._path.open("ab") as file:
                file.write(b"".join(_line(asdict(run)) for run in runs))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unusable(self._path, error) from error
        self.runs |= {run.key: run for run in runs}

    def _parsed(self, number: int, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            raise self._wrong(number, f"is not JSON: {error}") from error

    def _check(self, document: Any, settings: Mapping[str, Any]) -> None:
        there = document.get("settings") if isinstance(document, dict) else None
        if not isinstance(there, dict):
            raise self._wrong(1, "has no settings")
        wanted = json.loads(json.dumps(dict(settings)))
        differing = [name for name in there | wanted if there.get(name) != wanted.get(name)]
        if differing:
            name = differing[0]
            raise AnnotationError(
                f"{self._path} was begun with {name} {there.get(name)!r}, now it is {wanted.get(name)!r}; "
                "give the same as then, or another folder"
            )

    def _read(self, number: int, document: Any) -> Run:
        try:
            given = tuple(Given(**one) for one in document.pop("given"))
            return Run(**document, given=given)
        except (AttributeError, KeyError, TypeError) as error:
            raise self._wrong(number, f"is no run: {error}") from error

    def _wrong(self, number: int, what: str) -> AnnotationError:
        return AnnotationError(
            f"line {number} of {self._path} {what}; it was not written by this command, give another folder"
        )


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"


def _unusable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(
        f"{path} cannot be used: {error.strerror}; check permissions and disk space, or give another folder"
    )
