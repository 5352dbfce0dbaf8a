"""Options of a standing question, declared once: settings files, recipes and the API are made from these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from hermes_stream.stream.watches import WatchRules

Text = Annotated[str, Field(min_length=1, max_length=2000)]
NotNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Share, Share]
Name = Annotated[str, Field(max_length=100, pattern=r"^[^/\x00-\x1f]*[^/0-9\x00-\x1f][^/\x00-\x1f]*$")]
_NOT_IN_NAMES = re.compile(r"[/\x00-\x1f]")
# What the service does with what a watch tells; the rest is what the watch itself goes by.
_OF_SERVICE = frozenset(
    {"severity", "pre_seconds", "post_seconds", "summary_question", "is_on", "schedule", "name"}
)


class WatchSchedule(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Days and hours at which a watch speaks."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = (
        *("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    )
    """Days of the week, those on which the hours begin."""
    begins: Annotated[str, Field(max_length=8)] = "00:00"
    """Time of day, such as `22:00`."""
    ends: Annotated[str, Field(max_length=8)] = "00:00"
    """Time of day, not part of it; earlier than `begins` is on the next day."""
    time_zone: Annotated[str, Field(max_length=64)] | None = None
    """Such as `Europe/Berlin`; by default that of the stream's own schedule (`source_options`), else the
    machine's."""


class WatchSettings(
    BaseModel,
    frozen=True,
    extra="forbid",
    use_attribute_docstrings=True,
    json_schema_extra={
        "examples": [
            {
                "name": "person",
                "question": "Is there a person at the door?",
                "kind": "alert",
                "raise_at": 0.7,
                "clear_at": 0.4,
                "hold_seconds": 2,
                "cooldown_seconds": 60,
                "severity": "warning",
            }
        ]
    },
):
    """A standing question: `[[streams.NAME.watches]]` in a settings file, a body of the API."""

    question: Text
    """What is asked. An alert asks what is answered by yes or no; a count asks how many."""
    name: Name | None = None
    """What it is called, unlike a number and without a slash; the question by default."""
    kind: Literal["alert", "state", "count", "describe"] = "alert"
    """`alert` tells when yes begins and ends, `state` when the answer becomes another option, `count` when
    the number rises, `describe` what is new."""
    options: Annotated[tuple[Text, ...], Field(min_length=2, max_length=26)] | None = None
    """Answers of a state, or the numbers of a count in rising order."""
    answer: Text | None = None
    """Of an alert with options: the one that counts as yes."""
    also: Annotated[tuple[Text, ...], Field(max_length=7)] = ()
    """Questions that must be answered by yes as well."""
    given: Text | None = None
    """A question that must have been answered by yes before."""
    keeps_given: bool = False
    """What was given once stays given, as what was there stays so where a memory lets go."""
    onset: Text | None = None
    """A question that must be answered by yes where yes begins, and not after, such as `Did a car come in the
    last two seconds?`"""
    nth: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Which time that yes begins is told; each by default."""
    every_seconds: NotNegative | None = None
    """Ask no more often; after each chunk by default."""
    raise_at: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    """How likely yes must be to raise, or another option or number to count; what measured best for the kind
    by default."""
    clear_at: Share | None = None
    """How likely yes may be to clear, at most `raise_at`; 0 never clears; what measured best by default."""
    hold_seconds: NotNegative = 0.0
    """For how long an answer must hold before it is told."""
    cooldown_seconds: NotNegative = 0.0
    """Silence after what was sent."""
    max_per_hour: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Sent in an hour, at most."""
    schedule: WatchSchedule | None = None
    """When it speaks; always by default."""
    region: Annotated[tuple[Point, ...], Field(min_length=3, max_length=32)] | None = None
    """The part of the picture that it is about: a polygon, (x, y) in shares of width and height."""
    newest_seconds: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    """How far back it reads from the newest frame, for what is asked about now; the whole memory by
    default."""
    context: Text | None = None
    """What it should know, such as `Parked cars are normal.`"""
    language: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    """In which it is asked and describes, by its English name."""
    group_above: Share | None = None
    """An alert whose picture is so much like that of the last one sent is not sent."""
    calibrate: Literal["none", "blank", "start"] = "none"
    """Take off how likely the answers are on a blank picture, or in the stream's first minute."""
    newness_quantile: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.9
    """How new a chunk must be to be described, among those before it."""
    max_new_tokens: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Of a description, at most."""
    severity: Literal["info", "warning", "alarm"] = "warning"
    """How grave its incidents are."""
    pre_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 5.0
    """Pictures of an incident begin so long before it."""
    post_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 5.0
    """They end so long after it was raised; then the incident is updated with them."""
    summary_question: Text | None = None
    """Is asked for the incident's update, such as `Describe what happens.`; nothing is asked by default."""
    is_on: bool = True
    """Whether it is asked."""

    @property
    def label(self) -> str:
        """What it is called."""
        if self.name is not None:
            return self.name
        plain = _NOT_IN_NAMES.sub(" ", self.question[:100])
        return f"watch {plain}"[:100] if not plain.strip(" 0123456789") else plain

    @property
    def texts(self) -> tuple[str, ...]:
        """All that the model is asked or told."""
        said = (self.question, *self.also, self.given, self.onset, *(self.options or ()), self.context)
        return tuple(one for one in (*said, self.summary_question) if one is not None)

    def rules(self, time_zone: str | None = None) -> WatchRules:
        """Return what the watch goes by.

        Args:
            time_zone: of its schedule, where that names none; None is this machine's.

        Raises:
            ValueError: values do not go together, or the engine does not know one.
        """
        from dataclasses import fields

        from hermes_stream.stream.watches import Schedule, WatchRules

        chosen = self.model_dump(exclude=set(_OF_SERVICE), exclude_defaults=True)
        known = {one.name for one in fields(WatchRules)}
        if unknown := set(chosen) - known:
            raise ValueError(f"{', '.join(sorted(unknown))}: not of use to a watch yet; leave it out")
        schedule = None
        if self.schedule is not None:
            hours = self.schedule.model_dump()
            schedule = Schedule(**{**hours, "time_zone": hours["time_zone"] or time_zone})
        return WatchRules(**{**chosen, "name": self.label, "schedule": schedule})


def read_watch(values: Mapping[str, Any]) -> WatchSettings:
    """Return settings of plain values, checked.

    Raises:
        ValueError: a value is not accepted; says which.
    """
    try:
        settings = WatchSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "watch"
        raise ValueError(f"{name}: {first['msg']}, got {first['input']!r}") from error
    settings.rules()
    return settings
