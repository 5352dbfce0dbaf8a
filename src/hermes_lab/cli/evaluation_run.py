"""From a task to the answers of policies: what ``hermes eval`` and ``hermes compare`` share."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stderr
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_lab.cli.evaluation_options import ScoringOptions, ViewingOptions
from hermes_lab.cli.evaluation_task import Task
from hermes_lab.cli.progress import video_progress
from hermes_stream.cli.machine import devices, versions
from hermes_stream.cli.opening import load, mute_log
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import complain
from hermes_stream.errors import AnnotationError

if TYPE_CHECKING:
    from hermes_lab.datasets import Episode
    from hermes_lab.evaluation import EvaluatedPolicy, Run, RunKey, Viewing
    from hermes_lab.evaluation.run_folder import RunFolder
    from hermes_stream.models import VideoModel
    from hermes_stream.policies import MemoryPolicy
    from hermes_stream.stream import Session
    from hermes_stream.stream.playback import Source

VERDICTS = "verdicts.jsonl"
_PIXEL_SETTINGS = ("height", "width", "min_pixels", "max_pixels")


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
            shares_gpus=options.device in ("auto", "cuda"),
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
        circumstances={"versions": versions(), "machine": machine_of(str(layout.device), viewing.workers)},
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
    preprocessing = asdict(model.preprocessing)
    return {
        "tokens_per_temporal_patch": model.card.tokens_per_temporal_patch,
        "pixels": [preprocessing.get(name) for name in _PIXEL_SETTINGS],
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

    Raises:
        AnnotationError: a question has no answer, or an answer is not in the folder.
    """
    from hermes_lab.evaluation import evaluate

    episodes, policies = task.watched, setup.policies
    runs = {} if folder is None else folder.keep_whole(episodes)
    missing = [e for e in episodes if any(one.key(e.name) not in runs for one in policies)]
    with (
        video_progress(len(missing), shows_lines=shows_lines) as move,
        closing(
            evaluate(
                missing, policies, setup.viewing, done=set(runs), num_workers=num_workers, on_progress=move
            )
        ) as watched,
    ):
        for one in watched:
            if folder is not None:
                folder.add(one.runs)
            runs |= {run.key: run for run in one.runs}
            if one.failure is not None:
                task.failed[one.episode.name] = one.failure
            if one.damage is not None:
                path = task.files[one.episode.video]
                complain(f"{path} is damaged, what is good was watched: {one.damage}", kind="warning")
    return _whole(task, policies, runs, folder)


def _whole(
    task: Task, policies: Sequence[EvaluatedPolicy], runs: Mapping[RunKey, Run], folder: RunFolder | None
) -> list[Run]:
    """Return the runs of videos that can be watched, after a last count of answers against questions.

    Raises:
        AnnotationError: a question has no answer, or an answer is not in the folder.
    """
    wanted = [(one.key(episode.name), episode) for one in policies for episode in task.watched]
    found = [runs[key] for key, _ in wanted if key in runs]
    num_asked = sum(
        len(episode.questions) for key, episode in wanted if key not in runs or runs[key].skipped is None
    )
    num_answered = sum(len(run.predictions) for run in found)
    if num_answered != num_asked:
        raise AnnotationError(
            f"{num_answered} answers were given to {num_asked} questions; start again with --out, it goes on"
        )
    if folder is not None:
        folder.check_whole(found)
    return found


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


def machine_of(device: str, num_workers: int) -> str:
    """Name the device as one of the programs has it, since they share the processor's threads."""
    import torch

    found = devices(num_threads=max(torch.get_num_threads() // num_workers, 1))
    return next((one.title for one in found if one.name.startswith(device)), device)
