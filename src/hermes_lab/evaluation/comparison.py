"""Many memories watch the same videos: every frame and every question goes to all of them.

A video is decoded once and its frames are encoded once for all contestants; videos are spread over programs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from typing import final

import torch

from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.pictures import damage_of
from hermes_lab.evaluation.runner import Prediction, SessionWatcher
from hermes_lab.evaluation.runs import Given, Key, Run, digest_of
from hermes_lab.evaluation.shared_encoder import SharedEyes
from hermes_stream.errors import CapacityError, VideoError
from hermes_stream.models import VideoModel
from hermes_stream.policies import MemoryPolicy
from hermes_stream.stream import Session
from hermes_stream.stream.playback import Source, watch
from hermes_stream.video.frame import Frame

Load = Callable[[], VideoModel]
Open = Callable[[Episode], Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One memory in a comparison.

    Attributes:
        name: its policy, as a word of the command line.
        policy: the policy, its budget and its seed included.
        seed: of a policy that draws; None for others.
    """

    name: str
    policy: MemoryPolicy
    seed: int | None = None

    def key(self, video: str) -> Key:
        """Return what tells its run of a video from others."""
        return video, self.name, self.policy.budget_tokens, self.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """How all contestants watch, in whichever program. Can be sent to another one.

    Attributes:
        load_model: loads the model; equal ones are the same model.
        open_source: opens the video of an episode.
        chunk_frames: frames that are prefilled together.
        short_answers: answer in words, even where there are options to choose from.
    """

    load_model: Load
    open_source: Open
    chunk_frames: int = 16
    short_answers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of one video.

    Attributes:
        video: name of the episode: its video, and which part of it.
        runs: one for each contestant; none where the video cannot be watched.
        failure: why it cannot; None where it can.
        damage: what is wrong with a video that was watched as far as it goes; None if nothing.
    """

    video: str
    runs: tuple[Run, ...] = ()
    failure: str | None = None
    damage: str | None = None


def compare(
    episodes: Sequence[Episode],
    contestants: Sequence[Contestant],
    watching: Watching,
    *,
    done: Mapping[Key, Run] | None = None,
    num_workers: int = 1,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Iterator[Watched]:
    """Let contestants watch videos, and yield each video when all are through with it, in any order.

    Args:
        episodes: those without questions are passed over.
        contestants: no two of one name, budget and seed.
        watching: how they watch.
        done: runs that need not be made again.
        num_workers: programs that work at the same time, at least 1; 1 is this one alone.
        on_progress: is told how many videos are done, with the share of the present one where it is alone.

    Raises:
        CapacityError: a program ended before its time.
    """
    tasks = []
    for episode in episodes:
        missing = [one for one in contestants if one.key(episode.name) not in (done or {})]
        if missing and episode.questions:
            tasks.append((episode, missing))
    if num_workers == 1 or len(tasks) < 2:
        model = watching.load_model() if tasks else None
        for number, (episode, missing) in enumerate(tasks):
            assert model is not None
            yield _watched(model, episode, missing, watching, _share(number, episode, on_progress))
            on_progress(number + 1)
        return
    yield from _spread(tasks, watching, num_workers=min(num_workers, len(tasks)), on_progress=on_progress)


def _spread(
    tasks: Sequence[tuple[Episode, Sequence[Contestant]]],
    watching: Watching,
    *,
    num_workers: int,
    on_progress: Callable[[float], None],
) -> Iterator[Watched]:
    num_threads = max(torch.get_num_threads() // num_workers, 1)
    # Forking a program whose torch has threads already may hang.
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(_watched_elsewhere, episode, missing, watching, num_threads)
            for episode, missing in tasks
        ]
        try:
            for number, future in enumerate(as_completed(waiting), start=1):
                yield future.result()
                on_progress(number)
        except BrokenProcessPool as error:
            raise CapacityError(
                f"one of {num_workers} programs ended before its time, most likely for lack of memory; start "
                "again, it goes on where it was, with fewer workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _watched_elsewhere(
    episode: Episode, contestants: Sequence[Contestant], watching: Watching, num_threads: int
) -> Watched:
    torch.set_num_threads(num_threads)
    return _watched(_loaded(watching.load_model), episode, contestants, watching, lambda _: None)


@lru_cache(maxsize=1)
def _loaded(load_model: Load) -> VideoModel:
    """Load a program's model once for all its videos."""
    return load_model()


def _watched(
    model: VideoModel,
    episode: Episode,
    contestants: Sequence[Contestant],
    watching: Watching,
    on_frame: Callable[[float], None],
) -> Watched:
    """Play one video to all contestants, and ask all of them its questions."""
    eyes = SharedEyes(model)
    seats = [_Seat(one, eyes, watching) for one in contestants]
    times = [question.asked_seconds for question in episode.questions]

    def observe(frame: Frame) -> None:
        for seat in seats:
            seat.observe(frame)

    try:
        source = watching.open_source(episode)
        with closing(watch(source, times, observe=observe, on_frame=on_frame)) as moments:
            for due in islice(moments, len(times)):
                for seat in seats:
                    seat.answer(due.index, episode.questions[due.index], is_past_end=due.is_past_end)
    except VideoError as error:
        return Watched(video=episode.name, failure=str(error))
    runs = tuple(seat.run(episode) for seat in seats)
    return Watched(video=episode.name, runs=runs, damage=damage_of(source))


@final
class _Seat:
    """One contestant before one video; it leaves when its memory can hold no more."""

    def __init__(self, contestant: Contestant, eyes: SharedEyes, watching: Watching) -> None:
        self._contestant, self._eyes = contestant, eyes
        self._given: dict[int, Given] = {}
        self._num_past_end = self._kept = self._cache_bytes = self._host_bytes = 0
        self._seconds = 0.0
        self._skipped: str | None = None
        self._session: Session | None = None
        # What is done at the question's time is timed as that, so it may not be remembered from before.
        model = eyes.unshared if contestant.policy.rebuilds_at_question else eyes
        try:
            self._session = Session(model, contestant.policy, chunk_frames=watching.chunk_frames)
        except CapacityError as error:
            self._leave(str(error))
            return
        fitting = self._session.policy.budget_tokens
        if fitting != contestant.policy.budget_tokens:
            self._leave(f"the model's positions hold a budget of {fitting} tokens, not more")
            return
        self._watcher = SessionWatcher(self._session, short_answers=watching.short_answers)

    def _leave(self, reason: str) -> None:
        self._skipped, self._session = reason, None
        self._given.clear()

    def observe(self, frame: Frame) -> None:
        """Watch one frame."""
        if self._session is None:
            return
        began = self._now()
        try:
            self._watcher.observe(frame)
        except CapacityError as error:
            self._leave(str(error))
        self._seconds += self._now() - began

    def answer(self, index: int, question: EvalQuestion, *, is_past_end: bool) -> None:
        """Answer one question."""
        if self._session is None:
            return
        began = self._now()
        try:
            reply = self._watcher.answer(question)
        except CapacityError as error:
            self._leave(str(error))
            return
        self._seconds += self._now() - began
        stats = self._session.stats
        self._num_past_end += is_past_end
        self._kept = max(self._kept, stats.num_visual_tokens_kept)
        self._cache_bytes = max(self._cache_bytes, stats.cache_bytes)
        self._host_bytes = max(self._host_bytes, stats.host_bytes)
        one = Prediction(video="", question=question, reply=reply, at_seconds=question.asked_seconds)
        self._given[index] = Given(
            question_id=question.question_id,
            is_right=one.is_right,
            answer=reply.text,
            option_index=reply.option_index,
            ttft_seconds=round(reply.ttft_seconds, 6),
        )

    def _now(self) -> float:
        return time.perf_counter() - self._eyes.encode_seconds

    def run(self, episode: Episode) -> Run:
        """Return what came of it."""
        video, name, budget_tokens, seed = self._contestant.key(episode.name)
        stats = self._session.stats if self._session else None
        return Run(
            video=video,
            questions=digest_of(episode),
            policy=name,
            budget_tokens=budget_tokens,
            seed=seed,
            skipped=self._skipped,
            given=tuple(self._given[index] for index in sorted(self._given)),
            num_past_end=self._num_past_end if stats else 0,
            num_frames=stats.num_frames if stats else 0,
            num_visual_tokens_seen=stats.num_visual_tokens_seen if stats else 0,
            num_visual_tokens_kept=self._kept,
            cache_bytes=self._cache_bytes,
            host_bytes=self._host_bytes,
            took_seconds=round(self._seconds, 3),
        )


def _share(number: int, episode: Episode, on_progress: Callable[[float], None]) -> Callable[[float], None]:
    length = max((question.asked_seconds for question in episode.questions), default=0.0)
    return lambda seconds: on_progress(number + min(seconds / max(length, 1.0), 1.0))
