"""One run of an evaluation: from what a user asks for to predictions, files and scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hermes_lab.cli.judge import ScoringWish
from hermes_lab.cli.results import machine_of, print_report, print_time, results
from hermes_stream.cli.opening import (
    check_options,
    load,
    mute_log,
    open_session,
    warn_of_unused_budget,
)
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import complain, print_json, progress_bar, screen
from hermes_stream.cli.settings import settings_of
from hermes_stream.errors import AnnotationError, HermesError

if TYPE_CHECKING:
    from hermes_lab.datasets import Annotations, Episode
    from hermes_lab.evaluation import Prediction
    from hermes_lab.evaluation.run_folder import RunFolder, Shard
    from hermes_stream.models import VideoModel
    from hermes_stream.stream import Session
    from hermes_stream.stream.playback import Source

VERDICTS = "verdicts.jsonl"
_SHOWN = 20
_SIZES = ("height", "width", "min_pixels", "max_pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalWish:
    """What evaluation a user asks for; the fields are the options of the same names."""

    annotations: Path
    videos: Path | None
    model: ModelOptions
    memory: MemoryOptions
    budget_bytes: int | None
    fps: float | None
    seed: int
    limit: int | None
    short_answers: bool
    out: Path | None
    shard: str | None
    workers: int
    scorer: str
    judge_url: str | None
    judge_model: str | None
    json: bool

    @property
    def scoring(self) -> ScoringWish:
        """How answers are to be scored."""
        return ScoringWish(
            scorer=self.scorer, judge_url=self.judge_url, judge_model=self.judge_model, seed=self.seed
        )

    def check(self) -> Shard | None:
        """Refuse what cannot be meant, and return the part of the run that is asked for.

        Raises:
            BadParameter: an option is wrong, or two do not go together.
        """
        from hermes_lab.evaluation.run_folder import Shard

        check_options(self.model, self.memory)
        self.scoring.check()
        if self.videos is None:
            raise typer.BadParameter("give the folder of the videos, or --check", param_hint="--videos")
        if self.budget_bytes is not None:
            if self.memory.budget_tokens is not None:
                raise typer.BadParameter("give a budget in tokens or in bytes", param_hint="--budget-bytes")
            warn_of_unused_budget(self.memory.policy)
        if self.workers > 1 and (self.out is None or self.shard is not None):
            raise typer.BadParameter(
                "programs that share a run need --out, and no --shard", param_hint="--workers"
            )
        try:
            return None if self.shard is None else Shard.read(self.shard)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--shard") from error


@dataclass(kw_only=True)
class Task:
    """What is asked, of which files.

    Attributes:
        read: the annotations.
        episodes: the videos with questions that this program is to see through.
        files: where those videos are that are there.
        missing: why others are not, by their paths as annotated.
        failed: why others cannot be watched to their end.
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

    def lost(self, videos: Iterable[str]) -> int:
        """Return how many questions are asked about some of the videos."""
        chosen = set(videos)
        return sum(len(one.questions) for one in self.episodes if one.video in chosen)


def run_eval(wish: EvalWish) -> None:
    """Watch, answer, score and print."""
    shard = wish.check()
    task = _task(wish, shard)
    mute_log()
    began = time.perf_counter()
    folder = _folder(wish, shard)
    if wish.workers > 1 and folder is not None:
        from hermes_lab.cli.workers import share

        share(wish, [one for one in task.episodes if one.video in task.files], folder)
        settings = _flat(folder.manifest())
        given: list[Prediction] = []
    else:
        settings, given = _watch_all(wish, task, folder)
    if folder is not None:
        given = _stored(task.episodes, folder)
    _complain_of(task, given)
    if not given:
        raise AnnotationError(next(iter([*task.failed.values(), *task.missing.values()]), "nothing to score"))
    took_seconds = time.perf_counter() - began
    verdicts_file = wish.out / VERDICTS if wish.out else None
    marked, scoring = wish.scoring.mark(given, dialect=task.read.dialect, verdicts_file=verdicts_file)
    document = _document(wish, task, settings) | scoring | results(marked, seed=wish.seed)
    if folder is not None and shard is None:
        folder.write_scores(document)
    if wish.json:
        print_json(document | {"took_seconds": round(took_seconds, 3)})
    else:
        print_report(screen(), marked, seed=wish.seed)
        print_time(screen(), marked, took_seconds=took_seconds)


def _task(wish: EvalWish, shard: Shard | None) -> Task:
    """Read what is asked, and find its videos before a model loads.

    Raises:
        AnnotationError: there is no question at all, no video is there, or the file is wrong.
    """
    from hermes_lab.datasets import VideoFinder, read_annotations

    read = read_annotations(wish.annotations)
    episodes = [episode for episode in read.episodes if episode.questions][: wish.limit]
    task = Task(read=read, episodes=shard.of(episodes) if shard else episodes)
    if not episodes:
        reasons = _listed(task.left_out) or "it holds no question"
        odd = f"; {read.oddities[0]}" if read.oddities else ""
        raise AnnotationError(
            f"{wish.annotations}: nothing can be asked ({reasons}{odd}); give other annotations"
        )
    finder = VideoFinder(wish.videos or Path())
    for episode in task.episodes:
        try:
            task.files[episode.video] = finder.find(episode.video)
        except AnnotationError as error:
            task.missing[episode.video] = str(error)
    if task.missing and not task.files:
        raise AnnotationError(next(iter(task.missing.values())))
    return task


def _folder(wish: EvalWish, shard: Shard | None) -> RunFolder | None:
    from hermes_lab.evaluation.run_folder import RunFolder

    return None if wish.out is None else RunFolder(wish.out, shard)


def _watch_all(
    wish: EvalWish, task: Task, folder: RunFolder | None
) -> tuple[dict[str, Any], list[Prediction]]:
    """Watch what is not watched yet; return the settings, and the answers that were given now."""
    memory, model = wish.memory, load(wish.model)
    if wish.budget_bytes is not None:
        memory = replace(memory, budget_tokens=_tokens(wish, model))
    session = open_session(memory, model)
    fps = wish.fps or model.card.default_fps
    settings = settings_of(session, wish.model, memory) | {"fps": fps, "short_answers": wish.short_answers}
    machine, begin = machine_of(session), _session_maker(session, memory)
    episodes = [one for one in task.episodes if one.video in task.files]
    with ExitStack() as stack:
        write: Callable[[Prediction], None] = lambda _: None  # noqa: E731
        if folder is not None:
            held = _settings_held(wish, task, settings, session)
            for other in folder.begin(held, machine, _scoring_held(wish)):
                complain(f"the run goes on under other circumstances: {other}", kind="warning")
            episodes = folder.keep_whole(episodes)
            write = stack.enter_context(folder.writing())
        del session
        given = _watch(wish, task, episodes, begin, fps=fps, write=write)
    return settings | machine, given


def _tokens(wish: EvalWish, model: VideoModel) -> int:
    """Return how many visual tokens a budget in bytes holds.

    Raises:
        BadParameter: not even one.
    """
    layout, num_bytes = model.layout, wish.budget_bytes or 0
    each = (layout if wish.memory.kv_bits is None else replace(layout, kv_bits=8)).bytes_per_token
    if num_bytes < each:
        raise typer.BadParameter(
            f"{num_bytes} bytes hold no visual token, which takes {each}; give more",
            param_hint="--budget-bytes",
        )
    return num_bytes // each


def _session_maker(session: Session, memory: MemoryOptions) -> Callable[[], Session]:
    """Return what makes sessions like one, which it does not hold on to."""
    from hermes_stream.filters import FILTERS
    from hermes_stream.stream import Session

    make = partial(
        Session,
        session.model,
        session.policy,
        chunk_frames=session.chunk_frames,
        kv_bits=memory.kv_bits,
        still_below=memory.still_below,
    )
    chosen = FILTERS[memory.filter] if memory.filter else None
    return make if chosen is None else lambda: make(filter=chosen())


def _watch(
    wish: EvalWish,
    task: Task,
    episodes: Sequence[Episode],
    begin: Callable[[], Session],
    *,
    fps: float,
    write: Callable[[Prediction], None],
) -> list[Prediction]:
    """Watch videos and return the answers to their questions; each is written as it comes."""
    from hermes_lab.datasets.pictures import damage_of, open_source
    from hermes_lab.evaluation import SessionWatcher, run

    opened: list[tuple[str, Source]] = []

    def open_one(episode: Episode) -> Source:
        path = task.files[episode.video]
        rate = episode.pictures_fps
        opened.append((str(path), open_source(path, fps=fps, pictures_fps=rate, clip=episode.clip)))
        return opened[-1][1]

    def fail(episode: Episode, error: HermesError) -> None:
        task.failed[episode.video] = str(error)

    given = []
    with progress_bar("watching", len(episodes)) as move:
        for one in run(
            episodes,
            open_source=open_one,
            make_watcher=lambda: SessionWatcher(begin(), short_answers=wish.short_answers),
            on_progress=move,
            on_failure=fail,
        ):
            given.append(one)
            write(one)
    for path, source in opened:
        if damage := damage_of(source):
            complain(f"{path} is damaged, what is good was watched: {damage}", kind="warning")
    return given


def _stored(episodes: Sequence[Episode], folder: RunFolder) -> list[Prediction]:
    """Return all answers that are stored, those of earlier starts and of other programs too."""
    from hermes_lab.evaluation.responses import join

    return join(episodes, folder.lines()).predictions


def _settings_held(
    wish: EvalWish, task: Task, settings: Mapping[str, object], session: Session
) -> dict[str, Any]:
    """Return every setting that may change a prediction."""
    from hermes_lab.evaluation.runner import ANSWER_TOKENS, PROACTIVE_PROMPT
    from hermes_stream.stream.question import ANSWER_OPENING, with_lettered_options

    by_letter = session.model.card.multiple_choice == "letter" and not wish.short_answers
    lettered = with_lettered_options("{question}", ["{option}"]) + ANSWER_OPENING
    preprocessing = asdict(session.model.preprocessing)
    return {
        "annotations": wish.annotations.name,
        "annotations_sha256": task.read.digest,
        "dialect": task.read.dialect,
        "limit": wish.limit,
        **settings,
        "device": str(settings["device"]).partition(":")[0],
        "policy_fields": str(session.policy),
        "tokens_per_temporal_patch": session.model.card.tokens_per_temporal_patch,
        "pixels": [preprocessing.get(name) for name in _SIZES],
        "prompt": lettered if by_letter else "{question}",
        "proactive_prompt": PROACTIVE_PROMPT,
        "max_new_tokens": ANSWER_TOKENS,
    }


def _scoring_held(wish: EvalWish) -> dict[str, Any]:
    """Return every setting that changes scores, but no prediction."""
    averaging = "questions, kinds and, where all kinds are its tasks, both of OVO-Bench"
    return {"scorer": wish.scorer, "averaging": averaging, "judge": wish.judge_model, "seed": wish.seed}


def _flat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return dict(manifest.get("settings") or {}) | dict(manifest.get("circumstances") or {})


def _document(wish: EvalWish, task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    unseen = [*task.missing, *task.failed]
    return {
        "annotations": str(wish.annotations),
        "dialect": task.read.dialect,
        "videos": str(wish.videos),
        "limit": wish.limit,
        "seed": wish.seed,
        **{name: value for name, value in settings.items() if name not in ("annotations", "limit")},
        "left_out": task.left_out,
        "missing_videos": list(task.missing),
        "failed_videos": task.failed,
        "num_unanswered": task.lost(unseen),
        "num_oddities": len(task.read.oddities),
    }


def _complain_of(task: Task, given: Sequence[Prediction]) -> None:
    """Tell of what a score hides: what is not asked, not watched, or asked after the end."""
    if task.left_out:
        complain(f"left out of the annotations: {_listed(task.left_out)}", kind="warning")
    for videos, what in ((task.missing, "not there"), (task.failed, "not watched to their end")):
        if videos and given:
            shown = ", ".join(list(videos)[:_SHOWN]) + f" and {len(videos) - _SHOWN} more" * (
                len(videos) > _SHOWN
            )
            complain(
                f"{len(videos)} videos are {what}, with {task.lost(videos)} questions: {shown}; the first: "
                f"{next(iter(videos.values())) if videos is task.failed else 'see --check --videos'}",
                kind="warning",
            )
    late = [one for one in given if one.is_past_end]
    if late:
        complain(
            f"{len(late)} of {len(given)} questions are after the end of their video, such as "
            f"{late[0].question.question_id} at {late[0].question.asked_seconds:g} s of {late[0].video}; "
            "answered at the end",
            kind="warning",
        )


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count} x {reason}" for reason, count in counts.items())
