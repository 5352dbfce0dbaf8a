"""From annotations to the answers of policies: what ``hermes eval`` and ``hermes compare`` share."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.cli.evaluation_options import ScoringOptions, ViewingOptions
from hermes_lab.cli.progress import video_progress
from hermes_stream.cli.machine import devices, versions
from hermes_stream.cli.opening import load, mute_log
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import complain
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.datasets import Annotations, Episode
    from hermes_lab.evaluation import EvaluatedPolicy, Run, Viewing
    from hermes_lab.evaluation.run_folder import RunFolder, Shard
    from hermes_stream.models import VideoModel
    from hermes_stream.policies import MemoryPolicy
    from hermes_stream.stream import Session
    from hermes_stream.stream.playback import Source

VERDICTS = "verdicts.jsonl"
_NUM_SHOWN = 20
_PIXEL_SETTINGS = ("height", "width", "min_pixels", "max_pixels")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run is made of, beside its videos.

    Attributes:
        policies: those that watch.
        viewing: how they watch.
        settings: all that may change an answer, beside policies and annotations.
        circumstances: what should not change any: versions, machine.
    """

    policies: Sequence[EvaluatedPolicy]
    viewing: Viewing
    settings: dict[str, Any]
    circumstances: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _LoadModel:
    """Loads the model in another program."""

    options: ModelOptions

    def __call__(self) -> VideoModel:
        mute_log()
        # The program that started this one has printed the same warnings already.
        with redirect_stderr(io.StringIO()):
            return load(self.options)


def make_setup(
    model: VideoModel,
    policies: Sequence[EvaluatedPolicy],
    task: Task,
    *,
    options: ModelOptions,
    memory: MemoryOptions,
    viewing: ViewingOptions,
) -> Setup:
    """Return how policies watch with a model; the model is held only if this program watches itself.

    Args:
        model: loaded.
        policies: those that watch.
        task: what is asked.
        options: what the model was loaded with.
        memory: how frames enter the memory; its policy and budget are not used.
        viewing: how videos are watched.
    """
    from hermes_lab.evaluation import Viewing

    layout, fps = model.layout, viewing.fps or model.card.default_fps
    how = {name: value for name, value in asdict(memory).items() if name not in ("policy", "budget_tokens")}
    return Setup(
        policies=policies,
        viewing=Viewing(
            load_model=(lambda: model) if viewing.workers == 1 else _LoadModel(options),
            open_source=partial(_open_source, task.files, fps),
            open_session=partial(_open_session, how),
            short_answers=viewing.short_answers,
        ),
        settings={
            "model": options.model,
            "device": str(layout.device),
            "dtype": str(layout.dtype).removeprefix("torch."),
            "weights": options.weights,
            "fps": fps,
            "short_answers": viewing.short_answers,
            **how,
            **_model_settings(model, is_open=viewing.short_answers),
        },
        circumstances={"versions": versions(), "machine": _machine(str(layout.device))},
    )


def _open_source(files: Mapping[str, Path], fps: float, episode: Episode) -> Source:
    from hermes_lab.datasets.pictures import open_source

    mute_log()
    return open_source(files[episode.video], fps=fps, pictures_fps=episode.pictures_fps, clip=episode.clip)


def _open_session(how: Mapping[str, Any], model: VideoModel, policy: MemoryPolicy) -> Session:
    from hermes_stream.filters import FILTERS
    from hermes_stream.stream import Session

    chosen = FILTERS[how["filter"]]() if how["filter"] else None
    return Session(model, policy, **{**how, "filter": chosen})


def _model_settings(model: VideoModel, *, is_open: bool) -> dict[str, Any]:
    """Return what a model does with pictures and questions."""
    from hermes_lab.evaluation.runner import ANSWER_TOKENS, PROACTIVE_PROMPT
    from hermes_stream.stream.question import ANSWER_OPENING, with_lettered_options

    by_letter = model.card.multiple_choice == "letter" and not is_open
    lettered = with_lettered_options("{question}", ["{option}"]) + ANSWER_OPENING
    preprocessing = getattr(model, "_preprocessing", None)
    return {
        "tokens_per_temporal_patch": model.card.tokens_per_temporal_patch,
        "pixels": [getattr(preprocessing, name, None) for name in _PIXEL_SETTINGS],
        "prompt": lettered if by_letter else "{question}",
        "proactive_prompt": PROACTIVE_PROMPT,
        "max_new_tokens": ANSWER_TOKENS,
    }


def watch(
    task: Task, setup: Setup, folder: RunFolder | None, *, num_workers: int, shows_lines: bool
) -> list[Run]:
    """Let all policies watch what they have not watched, and return the runs of the videos that can be.

    Args:
        task: what is asked; takes note of videos that fail.
        setup: which policies watch, and how.
        folder: where runs are kept, and looked for; None keeps none.
        num_workers: programs that watch at the same time.
        shows_lines: whether progress is written where there is no terminal.

    Returns:
        Runs of the first policy, then of the next, each in the order of the episodes.
    """
    from hermes_lab.evaluation import evaluate

    episodes, policies = task.watched, setup.policies
    runs = {} if folder is None else folder.keep_whole(episodes)
    missing = [e for e in episodes if any(one.key(e.name) not in runs for one in policies)]
    with video_progress(len(missing), shows_lines=shows_lines) as move:
        for one in evaluate(
            missing, policies, setup.viewing, done=set(runs), num_workers=num_workers, on_progress=move
        ):
            if folder is not None:
                folder.add(one.runs)
            runs |= {run.key: run for run in one.runs}
            if one.failure is not None:
                task.failed[one.episode.name] = one.failure
            if one.damage is not None:
                path = task.files[one.episode.video]
                complain(f"{path} is damaged, what is good was watched: {one.damage}", kind="warning")
    return [runs[one.key(episode.name)] for one in policies for episode in task.watched]


def store_settings(
    folder: RunFolder, settings: dict[str, Any], setup: Setup, scoring: ScoringOptions
) -> None:
    """Store what a run holds for, or go on with it; warn where circumstances have changed.

    Args:
        folder: of the run.
        settings: those beside the setup's own.
        setup: what the run is made of.
        scoring: how its answers are scored.

    Raises:
        AnnotationError: a run with other settings is there.
    """
    averaging = "questions, kinds and, where all kinds are its tasks, both of OVO-Bench"
    held = {"scorer": scoring.scorer, "averaging": averaging, "judge": scoring.judge_model}
    # Programs that share a run may each have a GPU of their own.
    settings = settings | setup.settings | {"device": setup.settings["device"].partition(":")[0]}
    for other in folder.begin(settings, setup.circumstances, held | {"seed": scoring.seed}):
        complain(f"the run goes on under other circumstances: {other}", kind="warning")


def warn_of_gaps(task: Task, runs: Sequence[Run]) -> None:
    """Warn of what a score hides: what is not asked, not watched, or asked after the end.

    Raises:
        AnnotationError: nothing was watched.
    """
    if task.left_out:
        complain(f"left out of the annotations: {_listed(task.left_out)}", kind="warning")
    if not task.watched:
        reason = next(iter([*task.failed.values(), *task.missing.values()]), "there is none")
        raise AnnotationError(f"no video can be watched: {reason}")
    for videos, what in ((task.missing, "not there"), (task.failed, "not watched to their end")):
        if videos:
            num_more = len(videos) - _NUM_SHOWN
            shown = ", ".join(list(videos)[:_NUM_SHOWN]) + f" and {num_more} more" * (num_more > 0)
            complain(
                f"{len(videos)} videos are {what}, with {task.num_questions_of(videos)} questions: {shown}; "
                "the first: "
                f"{next(iter(videos.values())) if videos is task.failed else 'see --check --videos'}",
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


def _machine(device: str) -> str:
    return next((one.title for one in devices() if one.name.startswith(device)), device)


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in counts.items())
