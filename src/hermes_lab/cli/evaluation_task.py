"""What an evaluation asks, of which video files, and what it has to leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_stream.cli.opening import mute_log
from hermes_stream.cli.output import complain
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.datasets import Annotations, Episode
    from hermes_lab.evaluation import Run
    from hermes_lab.evaluation.run_folder import Shard

_NUM_SHOWN = 20


@dataclass(kw_only=True)
class Task:
    """What is asked, of which files.

    Attributes:
        read: the annotations.
        episodes: the videos with questions that this program is to see through.
        files: where those videos are that are there.
        missing: why others are not, by their paths as annotated.
        failed: why others cannot be watched to their end, by the names of episodes.
    """

    read: Annotations
    episodes: list[Episode]
    files: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def left_out(self) -> dict[str, int]:
        """How many questions are not asked, by reason."""
        reasons = Counter(reason for episode in self.read.episodes for reason in episode.left_out)
        return dict(sorted(reasons.items()))

    @property
    def watched(self) -> list[Episode]:
        """The episodes that are there and can be watched."""
        return [one for one in self.episodes if one.video in self.files and one.name not in self.failed]

    @property
    def gaps(self) -> dict[str, Any]:
        """What a document says of all that is not asked."""
        return {
            "left_out": self.left_out,
            "missing_videos": list(self.missing),
            "failed_videos": self.failed,
            "num_unanswered": self.num_questions_of([*self.missing, *self.failed]),
            "num_oddities": len(self.read.oddities),
        }

    def num_questions_of(self, videos: Iterable[str]) -> int:
        """Return how many questions are asked about some of the videos or episodes."""
        chosen = set(videos)
        return sum(len(one.questions) for one in self.episodes if {one.video, one.name} & chosen)


def read_task(annotations: Path, videos: Path, *, limit: int | None, shard: Shard | None = None) -> Task:
    """Read what is asked, and find its videos before a model loads.

    Args:
        annotations: a file, or a folder of files.
        videos: where videos are looked for.
        limit: how many videos of the annotations count; None is all.
        shard: which part of them this program watches; None is all.

    Raises:
        AnnotationError: there is no question at all, no video is there, or the file is wrong.
    """
    from hermes_lab.datasets import VideoFinder, read_annotations

    mute_log()
    read = read_annotations(annotations)
    episodes = [episode for episode in read.episodes if episode.questions][:limit]
    task = Task(read=read, episodes=shard.of(episodes) if shard else episodes)
    if not episodes:
        reasons = _listed(task.left_out) or "it holds no question"
        odd = f"; {read.oddities[0]}" if read.oddities else ""
        raise AnnotationError(f"{annotations}: nothing can be asked ({reasons}{odd}); give other annotations")
    finder = VideoFinder(videos)
    for episode in task.episodes:
        try:
            task.files[episode.video] = finder.find(episode.video)
        except AnnotationError as error:
            task.missing[episode.video] = str(error)
    if task.missing and not task.files:
        raise AnnotationError(next(iter(task.missing.values())))
    return task


def warn_of_gaps(task: Task, runs: Sequence[Run]) -> None:
    """Warn of what a score hides: what is not asked, not watched, or asked after the end.

    Raises:
        AnnotationError: nothing was watched.
    """
    warn_of_files(task.read)
    if task.left_out:
        complain(f"left out of the annotations: {_listed(task.left_out)}", kind="warning")
    if not task.watched:
        reason = next(iter([*task.failed.values(), *task.missing.values()]), "there is none")
        raise AnnotationError(f"no video can be watched: {reason}")
    if task.missing:
        complain(
            f"{len(task.missing)} videos are not there, with {task.num_questions_of(task.missing)} "
            f"questions: {_some(list(task.missing))}; see --check --videos",
            kind="warning",
        )
    if task.failed:
        told = [f"{video} ({reason})" for video, reason in task.failed.items()]
        complain(
            f"{len(task.failed)} videos are not watched to their end, with "
            f"{task.num_questions_of(task.failed)} questions: {_some(told)}",
            kind="warning",
        )
    predictions = [one for run in runs for one in run.predictions]
    late = [one for one in predictions if one.is_past_end]
    if late:
        complain(
            f"{len(late)} of {len(predictions)} questions are after the end of their video, such as "
            f"{late[0].question.question_id} at {late[0].question.asked_seconds:g} s of {late[0].video}; "
            "answered at the end",
            kind="warning",
        )


def warn_of_files(read: Annotations) -> None:
    """Warn of files of a folder that hold no annotations."""
    for told in read.files_left_out:
        complain(f"left out: {told}", kind="warning")


def _some(names: Sequence[str]) -> str:
    num_more = len(names) - _NUM_SHOWN
    return ", ".join(names[:_NUM_SHOWN]) + f" and {num_more} more" * (num_more > 0)


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in counts.items())
