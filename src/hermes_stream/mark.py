"""A point of a cache to come back to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point to rewind to, valid until the next compression."""

    lengths: tuple[int, ...]
    num_visual: tuple[int, ...]
    next_position: int
    next_frame_position: int
    next_token_id: int
    generation: int
