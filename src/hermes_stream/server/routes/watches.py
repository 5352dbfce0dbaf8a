"""Standing questions: made, changed, silenced, tried on the past, looked at."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from hermes_stream.server.bodies import ERRORS, Listing, Seconds, StreamName
from hermes_stream.server.state import State, needs
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.service.watch_status import WatchStatus
from hermes_stream.stream.watches import WatchStats

router = APIRouter(prefix="/v1/streams/{name}/watches", tags=["watches"], responses=ERRORS)

Watch = Annotated[str, Path(max_length=100, description="The watch's number or name.", examples=["1"])]
_TEST_FIELDS = {"from_seconds", "to_seconds"}


class WatchState(BaseModel, use_attribute_docstrings=True):
    """How a watch is."""

    value: str | None
    """The answer that holds."""
    score: float | None
    """How likely it is by the last look."""
    since_seconds: float | None
    """Since when an alert is on or an option holds, in seconds of the stream."""
    snoozed_until_seconds: float | None
    """Silence until then, in seconds of the stream."""


class WatchBody(WatchSettings, frozen=True, json_schema_extra={"examples": []}):
    """A watch as it is now."""

    id: int
    """Its number."""
    stream: str
    """Name of its stream."""
    state: WatchState
    """How it is."""
    failure: str | None
    """Why it is not asked."""
    stats: WatchStats | None
    """What it did since the service began."""
    warnings: list[str]
    """Why its answers may mean nothing, such as words that the model does not know."""


class WatchChange(BaseModel, extra="allow", json_schema_extra={"examples": [{"raise_at": 0.8}]}):
    """Fields of a watch that are to change."""


class Snooze(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """How long a watch is silent."""

    seconds: Annotated[float, Field(ge=0, le=1e9)]
    """Of the stream; 0 lets it speak again."""


class TestBody(WatchSettings, frozen=True):
    """A watch, and the part of the stream that it is tried on."""

    from_seconds: Seconds | None = None
    """In seconds of the stream; from the oldest that is kept by default."""
    to_seconds: Seconds | None = None
    """In seconds of the stream; to the newest by default."""


class TestChange(
    BaseModel,
    extra="allow",
    use_attribute_docstrings=True,
    json_schema_extra={"examples": [{"raise_at": 0.8, "from_seconds": 60}]},
):
    """Fields of a watch as they would be changed, and the part of the stream that it is tried on."""

    from_seconds: Seconds | None = None
    """In seconds of the stream; from the oldest that is kept by default."""
    to_seconds: Seconds | None = None
    """In seconds of the stream; to the newest by default."""


class FiredBody(BaseModel, use_attribute_docstrings=True):
    """What a watch would have told."""

    stream_seconds: float
    """When, in seconds of the stream."""
    kind: str
    """`raised`, `cleared`, `changed`, `counted` or `described`."""
    value: str
    """The answer."""
    score: float
    """How likely it was."""


class TrialBody(BaseModel, use_attribute_docstrings=True):
    """When a watch would have spoken."""

    fired: list[FiredBody]
    """What it would have told, oldest first."""
    scores: list[tuple[float, float]]
    """Seconds of the stream and score, of each look."""
    covered_seconds: float
    """How much of the stream is kept, and was looked at."""
    num_frames: int
    """Frames that were looked at."""
    is_cut: bool
    """Whether there was more than is looked at; the newest was taken."""


class ScoresBody(BaseModel, use_attribute_docstrings=True):
    """A watch's newest looks."""

    scores: list[tuple[float, float]]
    """Seconds of the stream and score."""


@router.get("", dependencies=needs("read"))
def list_watches(name: StreamName, state: State) -> Listing[WatchBody]:
    """List the watches of a stream, oldest first."""
    return Listing(items=list(map(body_of, state.service.watches.of_stream(name))))


@router.post("", status_code=201, dependencies=needs("watch"))
def add_watch(name: StreamName, body: WatchSettings, state: State) -> WatchBody:
    """Ask a question again and again. The same again is the same watch."""
    return body_of(state.service.watches.put(name, body, replaces=False))


@router.post("/test", dependencies=needs("watch"))
def test_watch(name: StreamName, body: TestBody, state: State) -> TrialBody:
    """Tell when a watch would have spoken, over what is kept of the stream: journal and pictures."""
    settings = WatchSettings(**body.model_dump(exclude=_TEST_FIELDS, exclude_unset=True))
    return _trial_of(name, settings, body, state)


@router.post("/{watch}/test", dependencies=needs("watch"))
def test_change(name: StreamName, watch: Watch, body: TestChange, state: State) -> TrialBody:
    """Tell when a watch would have spoken if it were changed so; what is not named stays as it is."""
    settings = state.service.watches.changed(name, watch, body.model_extra or {})
    return _trial_of(name, settings, body, state)


@router.get("/{watch}", dependencies=needs("read"))
def show_watch(name: StreamName, watch: Watch, state: State) -> WatchBody:
    """Return one watch as it is now."""
    return body_of(state.service.watches.show(name, watch))


@router.patch("/{watch}", dependencies=needs("watch"))
def change_watch(name: StreamName, watch: Watch, body: WatchChange, state: State) -> WatchBody:
    """Change fields of a watch: its thresholds, its name, whether it is on, what it asks."""
    return body_of(state.service.watches.change(name, watch, body.model_extra or {}))


@router.delete("/{watch}", status_code=204, dependencies=needs("watch"))
def delete_watch(name: StreamName, watch: Watch, state: State) -> None:
    """Delete a watch; what it told stays, and its open incident is over."""
    state.service.watches.remove(name, watch)


@router.post("/{watch}/snooze", dependencies=needs("watch"))
def snooze_watch(name: StreamName, watch: Watch, body: Snooze, state: State) -> WatchBody:
    """Let a watch be silent for a while."""
    return body_of(state.service.watches.snooze(name, watch, body.seconds))


@router.get("/{watch}/scores", dependencies=needs("read"))
def list_scores(
    *,
    name: StreamName,
    watch: Watch,
    state: State,
    begin: Annotated[Seconds | None, Query(alias="from", description="In seconds of the stream.")] = None,
    end: Annotated[Seconds | None, Query(alias="to", description="In seconds of the stream.")] = None,
) -> ScoresBody:
    """Return the scores of a watch's newest looks, for a curve."""
    since, until = -math.inf if begin is None else begin, math.inf if end is None else end
    return ScoresBody(scores=list(state.service.watches.scores(name, watch, since=since, until=until)))


def body_of(status: WatchStatus) -> WatchBody:
    """Return a watch as the API tells it."""
    settings, rules = status.settings.model_dump(), status.settings.rules()
    settings |= {"name": status.settings.label, "raise_at": rules.raises_at, "clear_at": rules.clears_at}
    return WatchBody(
        **settings,
        id=status.id,
        stream=status.stream,
        state=WatchState(
            value=status.value,
            score=status.score,
            since_seconds=status.since_seconds,
            snoozed_until_seconds=status.snoozed_until_seconds,
        ),
        failure=status.failure,
        stats=status.stats,
        warnings=list(status.warnings),
    )


def _trial_of(name: str, settings: WatchSettings, part: TestBody | TestChange, state: State) -> TrialBody:
    since = -math.inf if part.from_seconds is None else part.from_seconds
    until = math.inf if part.to_seconds is None else part.to_seconds
    trial = state.service.watches.test(name, settings, since=since, until=until)
    fired = [
        FiredBody(stream_seconds=one.stream_seconds, kind=one.kind, value=one.value, score=one.score)
        for one in trial.fired
    ]
    return TrialBody(
        fired=fired,
        scores=list(trial.scores),
        covered_seconds=trial.covered_seconds,
        num_frames=trial.num_frames,
        is_cut=trial.is_cut,
    )
