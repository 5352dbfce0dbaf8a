"""The answer to a question of a service: read from any thread, or from asyncio, while it is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedMoment:
    """A moment of the stream on which an answer's attention rested.

    Attributes:
        seconds: when, in seconds of the stream.
        from_seconds: where the attention begins.
        until_seconds: where it ends.
        share: part of the attention to the video, in [0, 1].
        picture: path of a picture within the folder of pictures; None where there is none.
    """

    seconds: float
    from_seconds: float
    until_seconds: float
    share: float
    picture: str | None = None


class LiveAnswer:
    """Skeleton."""
