"""One video before a session with standing questions: what each told, and what guessers would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from hermes_lab.datasets.watch_annotations import WatchedStory
from hermes_lab.evaluation.event_matching import TOLERANCE_SECONDS, Matching, Told, match_events
from hermes_lab.evaluation.watch_scores import WatchOutcome
from hermes_stream.stream.playback import Source
from hermes_stream.stream.watches.decisions import NewnessState, decide_newness
from hermes_stream.synthetic.happenings import Happening
from hermes_stream.synthetic.questions import NUMBERS
from hermes_stream.synthetic.watch_truths import WatchTruth
from hermes_stream.video.frame import Frame

if TYPE_CHECKING:
    from hermes_stream.stream import Session
    from hermes_stream.stream.watches import Watch, WatchEvent

BASELINES = ("always", "never", "change")
"""Guessers: who speaks at each look, who never does, and who speaks when the picture changes a lot."""
_CHANGE_QUANTILE = 0.9
_BLOCKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryEvents:
    """What was told of one story.

    Attributes:
        story: the video and what is watched for.
        told: events of each watch that are of the kind waited for, by its name.
        looks: times at which each watch was asked, likewise.
        changed_seconds: times at which the picture had changed a lot.
        ended_seconds: time of the last picture.
        num_skipped: looks that came too late to be taken.
        milliseconds_each: what a look took; None without one.
        share: of the time of chunks and looks together, what looks took.
    """

    story: WatchedStory
    told: Mapping[str, tuple[Told, ...]]
    looks: Mapping[str, tuple[float, ...]]
    changed_seconds: tuple[float, ...]
    ended_seconds: float
    num_skipped: int
    milliseconds_each: float | None
    share: float

    def outcomes(
        self, baseline: str | None = None, *, tolerance_seconds: float = TOLERANCE_SECONDS
    ) -> list[WatchOutcome]:
        """Return what became of each watch.

        Args:
            baseline: one of ``BASELINES``, which tells in the watches' place, and is right about every value;
                None is the watches themselves.
            tolerance_seconds: how much later than due an event may come.
        """
        return [self._outcome(one, baseline, tolerance_seconds) for one in self.story.watches]

    def _outcome(self, truth: WatchTruth, baseline: str | None, tolerance_seconds: float) -> WatchOutcome:
        looks = self.looks[truth.name]
        told = self.told[truth.name] if baseline is None else self._guessed(looks, baseline)
        opened = max(truth.opened_seconds, 0.0)
        return WatchOutcome(
            story=self.story.video,
            scene=self.story.scene,
            condition=truth.condition,
            comes=bool(truth.happenings),
            matching=match_truth(truth, told, tolerance_seconds=tolerance_seconds),
            watched_seconds=max(self.ended_seconds - opened, 0.0),
            num_polls=len(looks),
        )

    def _guessed(self, looks: Sequence[float], baseline: str) -> list[Told]:
        if baseline == "never":
            return []
        changed = set(self.changed_seconds)
        return [Told(seconds=one) for one in looks if baseline == "always" or one in changed]


def as_told(happenings: Iterable[Happening]) -> list[Told]:
    """Return what should be told, as events are matched."""
    return [Told(seconds=one.seconds, value=one.value) for one in happenings]


def match_truth(
    truth: WatchTruth, told: Sequence[Told], *, tolerance_seconds: float = TOLERANCE_SECONDS
) -> Matching:
    """Match what a watch told with what was due; see ``match_events``."""
    due, brief = as_told(truth.happenings), as_told(truth.brief)
    return match_events(due, told, optional=brief, tolerance_seconds=tolerance_seconds)


def watch_story(
    session: Session,
    source: Source,
    story: WatchedStory,
    *,
    rules: Mapping[str, Any] | None = None,
    on_frame: Callable[[float], None] = lambda _: None,
) -> StoryEvents:
    """Show a video to a session that watches for all that the story asks.

    Args:
        session: has seen nothing yet; a chunk is what may pass between two looks.
        source: the video.
        story: what is watched for.
        rules: fields of ``WatchRules`` for all watches, before what each asks for itself.
        on_frame: is told the time of each frame, in seconds from the first.
    """
    started = _Started(session, story, rules or {})
    change = _Change()
    seconds = 0.0
    for frame in source:
        seconds = frame.pts_seconds - source.start_seconds
        started.open(seconds)
        session.observe(frame)
        change.see(frame, seconds)
        started.collect(seconds)
        on_frame(seconds)
    session.flush()
    started.collect(seconds)
    stats = session.watches.stats
    return StoryEvents(
        story=story,
        told=started.told(source.start_seconds),
        looks={name: tuple(looks) for name, looks in started.looks.items()},
        changed_seconds=tuple(change.seconds),
        ended_seconds=seconds,
        num_skipped=stats.num_skipped,
        milliseconds_each=stats.milliseconds_each,
        share=stats.share,
    )


@final
class _Started:
    """The watches of a story, each opened at its time."""

    def __init__(self, session: Session, story: WatchedStory, rules: Mapping[str, Any]) -> None:
        self._session, self._story, self._rules = session, story, rules
        self._watches: dict[str, Watch] = {}
        self._events: dict[str, list[Any]] = {one.name: [] for one in story.watches}
        self.looks: dict[str, list[float]] = {one.name: [] for one in story.watches}

    def open(self, seconds: float) -> None:
        """Open the watches whose time has come, before the frame of that time is shown."""
        for one in self._story.watches:
            if one.name not in self._watches and one.opened_seconds <= seconds:
                asked = asked_as(one) | {
                    "hold_seconds": one.hold_seconds or self._rules.get("hold_seconds", 0.0)
                }
                self._watches[one.name] = self._session.watch(
                    one.question,
                    one.kind,
                    name=one.name,
                    on_event=self._events[one.name].append,
                    **{**self._rules, **asked},
                )

    def collect(self, seconds: float) -> None:
        """Note at which times watches were asked."""
        for name, watch in self._watches.items():
            asked, looks = watch.last_seconds, self.looks[name]
            if asked is not None and (watch.stats.num_asked > len(looks)):
                looks.append(seconds)

    def told(self, start_seconds: float) -> dict[str, tuple[Told, ...]]:
        """Return the events of the kinds waited for, in seconds from the first frame."""
        return {
            one.name: tuple(
                Told(
                    seconds=event.stream_seconds - start_seconds,
                    value=_value(one, event),
                )
                for event in self._events[one.name]
                if event.kind == one.tells and _has_truth(one, event)
            )
            for one in self._story.watches
        }


def _counts_comings(truth: WatchTruth) -> bool:
    return truth.kind == "alert" and any(one.value is not None for one in truth.happenings)


def _has_truth(truth: WatchTruth, event: WatchEvent) -> bool:
    """Tell whether an event can be judged: of comings that are counted, those that there is a word for."""
    return not _counts_comings(truth) or event.incident < len(NUMBERS)


def _value(truth: WatchTruth, event: WatchEvent) -> str | None:
    """Return what an event says where what is waited for has a value: how many, where comings are counted."""
    if truth.kind in ("state", "count"):
        return event.value
    return NUMBERS[event.incident] if _counts_comings(truth) else None


def asked_as(truth: WatchTruth) -> dict[str, Any]:
    """Return the rules that a truth's own question makes."""
    own = {
        "options": truth.options or None,
        "answer": truth.answer,
        "also": truth.also or None,
        "given": truth.given,
        "keeps_given": truth.keeps_given or None,
        "onset": truth.onset,
        "nth": truth.nth,
        "newest_seconds": truth.newest_seconds,
        "raise_at": truth.raise_at,
        "clear_at": truth.clear_at,
    }
    return {name: value for name, value in own.items() if value is not None}


@final
class _Change:
    """A detector of change: the block of the picture that changed most since the last."""

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._state = NewnessState()
        self.seconds: list[float] = []

    def see(self, frame: Frame, seconds: float) -> None:
        """Take a frame, and note its time where it changed more than most."""
        height, width = (side - side % _BLOCKS for side in frame.image.shape[:2])
        now = frame.image[:height, :width].astype(np.float32)
        now = now.reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS, 3).mean(axis=(1, 3))
        change = 0.0 if self._before is None else float(abs(now - self._before).max())
        self._before = now
        self._state = decide_newness(self._state, newness=change, quantile=_CHANGE_QUANTILE)
        if self._state.is_new:
            self.seconds.append(seconds)
