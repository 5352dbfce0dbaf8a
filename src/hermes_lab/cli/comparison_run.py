"""A comparison from annotations to its document: what ``hermes compare`` does between words and tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from hermes_lab.cli.contestants import line_up
from hermes_lab.cli.progress import pacing
from hermes_stream.cli.machine import devices, versions
from hermes_stream.cli.opening import load, mute_log
from hermes_stream.cli.options import ModelOptions
from hermes_stream.cli.output import complain
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from rich.console import Console

    from hermes_lab.datasets import Episode, EvalQuestion
    from hermes_lab.evaluation.runs import Run
    from hermes_stream.models import VideoModel
    from hermes_stream.stream.playback import Source

RUNS = "runs.jsonl"
COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is compared, and how; the fields are the options of the same names.

    Attributes:
        names: policies, as words.
        budgets: in tokens; none takes what the model suggests.
        num_seeds: how often policies that draw are drawn.
        seed: the first of these seeds, and that of intervals.
        fps: frames sampled per second; None takes the model's default.
        chunk_frames: frames that enter the memory together.
        short_answers: answer in words, even where there are options to choose from.
        reference: the policy that others are compared with.
    """

    names: Sequence[str]
    budgets: Sequence[int]
    num_seeds: int
    seed: int
    fps: float | None
    chunk_frames: int
    short_answers: bool
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """Loads the model in whichever program."""

    options: ModelOptions

    def __call__(self) -> VideoModel:
        mute_log()
        return load(self.options)


@dataclass(frozen=True, slots=True)
class _Open:
    """Opens videos in whichever program."""

    files: Mapping[str, Path]
    fps: float

    def __call__(self, episode: Episode) -> Source:
        from hermes_lab.datasets.pictures import open_source

        mute_log()
        path, rate = self.files[episode.video], episode.pictures_fps
        return open_source(path, fps=self.fps, pictures_fps=rate, clip=episode.clip)


@final
class Contest:
    """A comparison: first ``watch``, then ``document``.

    Args:
        options: which model.
        episodes: videos with questions.
        files: where each video is.
        settings: what is compared.

    Attributes:
        standings: how each memory does, once all was watched.
        skipped: memories that could not watch all videos.
    """

    def __init__(
        self,
        options: ModelOptions,
        episodes: Sequence[Episode],
        files: Mapping[str, Path],
        settings: Settings,
    ) -> None:
        self._options, self._files, self._settings = options, files, settings
        self._episodes = episodes
        self._failures: dict[str, str] = {}
        mute_log()
        self._model = load(options)
        card = self._model.card
        self._budgets = list(settings.budgets) or [card.default_budget_tokens]
        self._shared: dict[str, Any] = {
            "model": Path(options.model).name,
            "dtype": str(self._model.layout.dtype).removeprefix("torch."),
            "weights": options.weights,
            "fps": settings.fps or card.default_fps,
            "chunk_frames": settings.chunk_frames,
            "short_answers": settings.short_answers,
        }
        self._contestants = line_up(
            settings.names, self._budgets, num_seeds=settings.num_seeds, first_seed=settings.seed
        )

    def watch(self, folder: Path, *, num_workers: int) -> None:
        """Let all contestants watch what they have not watched, and find how they stand.

        Args:
            folder: where runs are kept, and looked for.
            num_workers: programs that watch at the same time.

        Raises:
            AnnotationError: no video can be watched, or the folder holds another comparison.
        """
        from hermes_lab.evaluation.comparison import Watching, compare
        from hermes_lab.evaluation.comparison_scores import skipped_of, standings
        from hermes_lab.evaluation.runs import RunFile

        file = RunFile(folder / RUNS, self._shared)
        file.check_questions(self._episodes)
        model = self._model
        watching = Watching(
            load_model=(lambda: model) if num_workers == 1 else _Load(options=self._options),
            open_source=_Open(self._files, self._shared["fps"]),
            chunk_frames=self._settings.chunk_frames,
            short_answers=self._settings.short_answers,
        )
        missing = [
            e for e in self._episodes if any(c.key(e.name) not in file.runs for c in self._contestants)
        ]
        with pacing(len(missing)) as move:
            for one in compare(
                missing,
                self._contestants,
                watching,
                done=file.runs,
                num_workers=num_workers,
                on_progress=move,
            ):
                file.add(one.runs)
                self._tell(one.video, failure=one.failure, damage=one.damage)
        self._episodes = [episode for episode in self._episodes if episode.name not in self._failures]
        if not self._episodes:
            raise AnnotationError(f"no video can be watched: {next(iter(self._failures.values()))}")
        self._runs = [file.runs[c.key(e.name)] for c in self._contestants for e in self._episodes]
        settings = self._settings
        self.skipped = skipped_of(self._runs)
        self.standings = standings(
            self._episodes,
            self._runs,
            reference=settings.reference,
            short_answers=settings.short_answers,
            seed=settings.seed,
        )

    def _tell(self, video: str, *, failure: str | None, damage: str | None) -> None:
        if failure is not None:
            self._failures[video] = failure
            complain(f"{video} is left out, for all memories: {failure}", kind="warning")
        if damage is not None:
            complain(f"{video} is damaged, what is good was watched: {damage}", kind="warning")

    def document(self, *, annotations: str, videos: str) -> dict[str, Any]:
        """Return all that was found as JSON takes it.

        Args:
            annotations: name of their file, without its folder.
            videos: name of the folder.
        """
        settings, layout = self._settings, self._model.layout
        manifest = {
            "command": self._command(annotations, videos),
            **self._shared,
            "device": str(layout.device),
            "max_positions": layout.max_positions,
            "tokens_per_temporal_patch": self._model.card.tokens_per_temporal_patch,
            "training_frames": self._model.card.training_frames,
            "budgets": self._budgets,
            "num_seeds": settings.num_seeds,
            "seed": settings.seed,
            **_streams(self._episodes, self._runs),
            "versions": versions(),
            "machine": next((d.title for d in devices() if d.name.startswith(str(layout.device))), "unknown"),
        }
        return {
            "manifest": manifest,
            "reference": settings.reference,
            "standings": [_rounded(asdict(one)) for one in self.standings],
            "skipped": [asdict(one) for one in self.skipped],
            "left_out": self._failures,
        }

    def print(self, console: Console) -> None:
        """Print the tables."""
        from hermes_lab.cli.comparison_table import print_standings

        print_standings(console, self.standings, self.skipped, reference=self._settings.reference)

    def _command(self, annotations: str, videos: str) -> str:
        """Write the command as it may be given again, without this machine's folders."""
        settings, shared = self._settings, self._shared
        words = ["hermes", "compare", annotations, "--videos", videos, "--policies", ";".join(settings.names)]
        words += ["--budgets", ",".join(map(str, self._budgets)), "--seeds", str(settings.num_seeds)]
        words += ["--seed", str(settings.seed), "--reference", settings.reference, "--model", shared["model"]]
        words += ["--fps", f"{shared['fps']:g}", "--chunk-frames", str(shared["chunk_frames"])]
        words += ["--weights", shared["weights"]] if shared["weights"] != "auto" else []
        words += ["--short-answers"] if settings.short_answers else []
        return shlex.join([*words, "--out", "DIR"])


def read_episodes(
    annotations: Path, videos: Path, limit: int | None
) -> tuple[list[Episode], dict[str, Path]]:
    """Read what can be compared, and find every video before a model loads.

    Raises:
        AnnotationError: nothing can be asked, or a video is missing.
    """
    from hermes_lab.datasets import VideoFinder, load_annotations

    every = load_annotations(annotations)
    asked = [replace(one, questions=tuple(filter(_can_be_compared, one.questions))) for one in every]
    episodes = [episode for episode in asked if episode.questions][:limit]
    if not episodes:
        raise AnnotationError(f"{annotations}: nothing can be asked; give other annotations")
    left_out = sum(len(one.left_out) + len(one.questions) for one in every) - sum(
        len(one.questions) for one in asked
    )
    if left_out:
        complain(
            f"{left_out} questions are left out: no truth, to be answered unasked, or not readable",
            kind="warning",
        )
    finder = VideoFinder(videos)
    return episodes, {episode.video: finder.find(episode.video) for episode in episodes}


def _can_be_compared(question: EvalQuestion) -> bool:
    return question.has_truth and question.form != "proactive"


def _streams(episodes: Sequence[Episode], runs: Sequence[Run]) -> dict[str, Any]:
    last = [max(one.asked_seconds for one in episode.questions) for episode in episodes]
    watched = [run for run in runs if run.skipped is None]
    return {
        "num_videos": len(episodes),
        "num_questions": sum(len(episode.questions) for episode in episodes),
        "num_questions_past_end": sum({run.video: run.num_past_end for run in watched}.values()),
        "longest_seconds": max((seconds for seconds in last if seconds < float("inf")), default=None),
        "num_frames": sum({run.video: run.num_frames for run in watched}.values()),
        "max_visual_tokens_seen": max((run.num_visual_tokens_seen for run in watched), default=0),
    }


def _rounded(value: Any) -> Any:
    """Round all numbers of a document to what they mean."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(own) for key, own in value.items()}
    return [_rounded(own) for own in value] if isinstance(value, list | tuple) else value
