"""Methods that bound the memory of a stream, one file each."""

from __future__ import annotations

from collections.abc import Callable

from hermes_stream.policies.base import Guidance, GuidancePrompts, MemoryPolicy
from hermes_stream.policies.full import FullPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.policies.window import WindowPolicy

__all__ = [
    "POLICIES",
    "FullPolicy",
    "Guidance",
    "GuidancePrompts",
    "HermesPolicy",
    "MemoryPolicy",
    "WindowPolicy",
]

POLICIES: dict[str, Callable[..., MemoryPolicy]] = {
    "hermes": HermesPolicy,
    "full": FullPolicy,
    "window": WindowPolicy,
}
