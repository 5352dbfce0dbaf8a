"""Several policies watch one video in lockstep: every frame and every question goes to all of them.

The video is decoded once, and its frames are encoded once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, final

from hermes_lab.datasets.episode import Episode
from hermes_lab.datasets.pictures import damage_of
from hermes_lab.evaluation.predictions import Prediction, Run, RunKey
from hermes_lab.evaluation.runner import Moment, SessionWatcher, moments_of, predict
from hermes_lab.evaluation.shared_encoder import SharedEncoder
from hermes_stream.errors import CapacityError, HermesError
from hermes_stream.models import VideoModel
from hermes_stream.policies import MemoryPolicy
from hermes_stream.stream import Session
from hermes_stream.stream.executor import is_out_of_memory
from hermes_stream.stream.playback import Source
from hermes_stream.video.frame import Frame

LoadModel = Callable[[], VideoModel]
OpenSource = Callable[[Episode], Source]
OpenSession = Callable[[VideoModel, MemoryPolicy], Session]
_Result = TypeVar("_Result")
_REASON_LETTERS = 300
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedPolicy:
    """A policy with its name.

    Attributes:
        name: as a word of the command line.
        policy: the policy, its budget and its seed included.
        seed: of a policy that draws at random; None for others.
    """

    name: str
    policy: MemoryPolicy
    seed: int | None = None

    def key(self, video: str) -> RunKey:
        """Return the identity of its run of a video."""
        return RunKey(video, self.name, self.policy.budget_tokens, self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """How all policies watch, in whichever program. It can be sent to another one.

    Attributes:
        load_model: loads the model; equal ones load the same.
        open_source: opens the video of an episode.
        open_session: starts a stream with a policy.
        short_answers: answer in words, even where there are options to choose from.
        shares_gpus: whether programs that work at the same time take turns at the GPUs.
    """

    load_model: LoadModel
    open_source: OpenSource
    open_session: OpenSession
    short_answers: bool = False
    shares_gpus: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedVideo:
    """The outcome of one video.

    Attributes:
        episode: the video and its questions.
        runs: one for each policy; empty where the video cannot be watched.
        failure: why it cannot be watched to its end by all of them; None where it can.
        damage: what is wrong with a video that was watched as far as it goes; None if nothing.
    """

    episode: Episode
    runs: tuple[Run, ...] = ()
    failure: str | None = None
    damage: str | None = None


def watch_video(
    model: VideoModel,
    episode: Episode,
    policies: Sequence[EvaluatedPolicy],
    viewing: Viewing,
    *,
    on_frame: Callable[[float], None] = lambda _: None,
) -> WatchedVideo:
    """Play one video to all policies, and ask all of them its questions.

    Args:
        model: what all of them watch with.
        episode: the video and its questions.
        policies: those that watch it.
        viewing: how they watch.
        on_frame: is called with the time of each frame, in seconds from the first.
    """
    try:
        return _watched(model, episode, policies, viewing, on_frame=on_frame)
    except Exception as error:  # one video must not end the evaluation of the others
        _log.debug("%s cannot be watched", episode.name, exc_info=True)
        return WatchedVideo(episode=episode, failure=reason_of(error))


def _watched(
    model: VideoModel,
    episode: Episode,
    policies: Sequence[EvaluatedPolicy],
    viewing: Viewing,
    *,
    on_frame: Callable[[float], None],
) -> WatchedVideo:
    encoder = SharedEncoder(model)
    participants = [_Participant(one, encoder, viewing) for one in policies]

    def observe(frame: Frame) -> None:
        for one in participants:
            one.observe(frame)

    source = viewing.open_source(episode)
    for moment in moments_of(episode, source, observe=observe, on_frame=on_frame):
        for one in participants:
            one.answer(episode, moment)
        if all(one.skipped is not None for one in participants):
            break
    runs = tuple(one.run(episode) for one in participants)
    return WatchedVideo(episode=episode, runs=runs, damage=damage_of(source))


def reason_of(error: Exception) -> str:
    """Return in one line why a video cannot be watched; errors that were not foreseen with their class."""
    if isinstance(error, HermesError):
        return str(error)
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        return "memory ran out; lower --budget-tokens, --chunk-frames or --workers, or choose a smaller dtype"
    told = " ".join(str(error).split()) or "no reason is given"
    return f"{type(error).__name__}: {told[:_REASON_LETTERS]}"


@final
class _Participant:
    """One policy before one video; it leaves when its memory can hold no more."""

    def __init__(self, evaluated: EvaluatedPolicy, encoder: SharedEncoder, viewing: Viewing) -> None:
        self._evaluated, self._encoder = evaluated, encoder
        self._predictions: dict[int, Prediction] = {}
        self._seconds = 0.0
        self.skipped: str | None = None
        policy = evaluated.policy
        # Encoding at the question is part of such a policy's time to first token, so nothing may be reused.
        model = encoder.unshared if policy.rebuilds_at_question else encoder
        session = self._attempt(lambda: viewing.open_session(model, policy))
        if session is None:
            return
        self._seconds = 0.0
        if session.policy.budget_tokens != policy.budget_tokens:
            fitting = session.policy.budget_tokens
            self._leave(f"the model's positions hold a budget of {fitting} tokens, not more")
        self._watcher = SessionWatcher(session, short_answers=viewing.short_answers)

    def observe(self, frame: Frame) -> None:
        """Watch one frame."""
        self._attempt(lambda: self._watcher.observe(frame))

    def answer(self, episode: Episode, moment: Moment) -> None:
        """Answer one question, unless it is answered or may wait."""
        if moment.index in self._predictions:
            return
        one = self._attempt(lambda: predict(episode, moment, self._watcher))
        if one is not None:
            self._predictions[moment.index] = replace(one, took_seconds=self._seconds)

    def run(self, episode: Episode) -> Run:
        """Return what it answered."""
        answered = tuple(self._predictions[index] for index in sorted(self._predictions))
        return Run(key=self._evaluated.key(episode.name), predictions=answered, skipped=self.skipped)

    def _attempt(self, act: Callable[[], _Result]) -> _Result | None:
        """Do something unless it has left, and add up the time; encoding that others reuse is not counted."""
        if self.skipped is not None:
            return None
        began = time.perf_counter() - self._encoder.encode_seconds
        try:
            return act()
        except CapacityError as error:
            self._leave(str(error))
            return None
        finally:
            self._seconds += time.perf_counter() - self._encoder.encode_seconds - began

    def _leave(self, reason: str) -> None:
        self.skipped = reason
        self._predictions.clear()
