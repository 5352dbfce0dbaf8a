"""What a stream is made with, beside its model: as objects, and as plain values that a file can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from hermes_stream.errors import PluginError, SnapshotError
from hermes_stream.filters import FILTERS
from hermes_stream.filters.base import TokenFilter
from hermes_stream.models.base import VideoModel
from hermes_stream.policies import POLICIES
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.stream.capacity import Capacity, plan_capacity

Method = TypeVar("Method", MemoryPolicy, TokenFilter)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The choices of one stream; names and meanings as in ``Session``.

    Attributes:
        policy: what the memory keeps.
        chunk_frames: frames that are prefilled together.
        text_tokens: room for a question and its answer; None takes the default.
        kv_bits: bits of a number of a key or value; None as the model makes them.
        fps: rate of sampling; None takes every frame.
        filter: what drops visual tokens before they are prefilled; None drops none.
        still_below: grey levels below which a frame counts as unchanged; None encodes all.
        guidance_from_questions: let the last conversation steer what the memory keeps.
        defers_compression: let a question behind a frame go before the compression.
    """

    policy: MemoryPolicy
    chunk_frames: int = 16
    text_tokens: int | None = None
    kv_bits: int | None = None
    fps: float | None = None
    filter: TokenFilter | None = None
    still_below: float | None = None
    guidance_from_questions: bool = True
    defers_compression: bool = False

    def capacity(self, model: VideoModel) -> Capacity:
        """Return what a stream takes of a model; see ``plan_capacity``."""
        return plan_capacity(
            model,
            self.policy,
            chunk_frames=self.chunk_frames,
            text_tokens=self.text_tokens,
            kv_bits=self.kv_bits,
        )

    def settled(self, capacity: Capacity) -> StreamOptions:
        """Return the options as they are in fact, once the model's positions are divided."""
        return replace(
            self,
            policy=capacity.policy,
            chunk_frames=capacity.chunk_frames,
            text_tokens=capacity.text_tokens,
        )

    def as_arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of ``Session`` and ``Engine.add``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def plain(self) -> dict[str, Any]:
        """Return the options as values of JSON.

        Raises:
            SnapshotError: a policy or filter of a user's own has a field that is none.
        """
        arguments = self.as_arguments()
        arguments["policy"] = _plain(self.policy, POLICIES)
        arguments["filter"] = None if self.filter is None else _plain(self.filter, FILTERS)
        return arguments

    @classmethod
    def of_plain(
        cls, plain: Any, *, policy: MemoryPolicy | None = None, filter: TokenFilter | None = None
    ) -> StreamOptions:
        """Return the options that ``plain`` was made of.

        Args:
            plain: from a file; anything.
            policy: what the memory keeps, for a class that no name stands for.
            filter: likewise.

        Raises:
            SnapshotError: the values are no options, or are those of another policy or filter.
        """
        names = {field.name for field in fields(cls)}
        plain = {**_BEFORE, **plain} if isinstance(plain, dict) else plain
        if not isinstance(plain, dict) or set(plain) != names:
            raise SnapshotError(
                f"the snapshot's options must be {', '.join(sorted(names))}; it is damaged, or was written "
                "by another version of this program"
            )
        _check_kinds(plain)
        made_policy = _made(plain["policy"], POLICIES, policy, "policy")
        made_filter = None if plain["filter"] is None else _made(plain["filter"], FILTERS, filter, "filter")
        return cls(**{**plain, "policy": made_policy, "filter": made_filter})


_KINDS: dict[str, tuple[type, ...]] = {
    "chunk_frames": (int,),
    "text_tokens": (int, type(None)),
    "kv_bits": (int, type(None)),
    "fps": (int, float, type(None)),
    "still_below": (int, float, type(None)),
    "guidance_from_questions": (bool,),
    "defers_compression": (bool,),
}
_BEFORE = {"defers_compression": False}
"""What older snapshots do not say, as it was when they were written."""


def _check_kinds(plain: Mapping[str, Any]) -> None:
    for name, kinds in _KINDS.items():
        value = plain[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise SnapshotError(
                f"the snapshot's option {name} is {value!r}; it is damaged, take an older one"
            )


def _plain(method: MemoryPolicy | TokenFilter, registry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's class, the name that makes one of it, and its fields."""
    own: Any = method
    kept = {field.name: getattr(method, field.name) for field in fields(own)}
    try:
        kept = json.loads(json.dumps(kept, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SnapshotError(
            f"{type(method).__name__} cannot be written to a snapshot: {error}; its fields must be numbers, "
            "texts, or lists of these"
        ) from error
    return {"name": _name_of(type(method), registry), "class": type(method).__name__, "fields": kept}


def _name_of(kind: type, registry: Mapping[str, Any]) -> str | None:
    """Return a name under which a class, or what makes one of it, is known; None where there is none."""
    for name in registry:
        try:
            if _class_of(registry[name]) is kind:
                return name
        except (PluginError, TypeError, ValueError):  # another package's own fault
            continue
    return None


def _class_of(makes: Any) -> type:
    return makes if isinstance(makes, type) else type(makes())


def _made(plain: Any, registry: Mapping[str, Any], given: Method | None, what: str) -> Method:
    """Return the method that ``_plain`` was given, made by the registry or compared with the one given."""
    if not isinstance(plain, dict) or set(plain) != {"name", "class", "fields"}:
        raise SnapshotError(f"the snapshot names no {what}; it is damaged, take an older one")
    if given is not None:
        if {**_plain(given, registry), "name": None} != {**plain, "name": None}:
            raise SnapshotError(
                f"the snapshot was made with {what} {_short(plain)}, and {given} was given; give that one"
            )
        return given
    if not isinstance(plain["name"], str) or plain["name"] not in registry:
        raise SnapshotError(
            f"the snapshot was made with {what} {_short(plain)}, which no name stands for here; install its "
            f"package, or give it: {what}=..."
        )
    try:
        kind = _class_of(registry[plain["name"]])
        made: Method = kind(**{name: _tuples(value) for name, value in plain["fields"].items()})
    except (AttributeError, TypeError, ValueError, PluginError) as error:
        raise SnapshotError(
            f"{what} {_short(plain)} cannot be made: {error}; the snapshot is damaged, or was written by "
            "another version of this program"
        ) from error
    if kind.__name__ != plain["class"]:
        raise SnapshotError(
            f"the snapshot was made with {what} {_short(plain)}, and {plain['name']!r} is {kind.__name__} "
            "here; install the package that it was made with"
        )
    return made


def _tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for its lists, as fields of methods are."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _short(plain: Mapping[str, Any]) -> str:
    return f"{plain['class']}({plain['fields']})"[:300]
