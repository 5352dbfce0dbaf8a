"""What may be said with a question: how its answer is decoded, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypedDict

from hermes_stream.stream.decoding import Sampling
from hermes_stream.stream.watches.deferred import Deferred


class SamplingOptions(TypedDict, total=False):
    """The fields of ``Sampling``, which says what they mean; an editor shows them."""

    max_new_tokens: int | None
    temperature: float
    top_p: float
    repetition_penalty: float
    stop: Sequence[str]
    seed: int
    num_logprobs: int | None
    clarify_below: float | None
    allow_unseen: bool


class WaitingOptions(SamplingOptions, total=False):
    """Those of a question that waits for its evidence, too; see ``Watches.defer``."""

    until: str | None
    on_done: Callable[[Deferred], object] | None


def sampling_of(options: Mapping[str, Any]) -> Sampling:
    """Return how an answer is decoded.

    Args:
        options: fields of ``Sampling``.

    Raises:
        TypeError: one has a name that is none of theirs.
        ValueError: one is out of its range.
    """
    names = [field.name for field in fields(Sampling)]
    for name in options:
        if name in ("until", "on_done"):
            raise TypeError(f"{name} is of a question that waits for its evidence; give wait_seconds, too")
        if name not in names:
            near = get_close_matches(name, names, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else "."
            raise TypeError(f"a question has no option {name!r}{meant} Those it has: {', '.join(names)}")
    return Sampling(**options)
