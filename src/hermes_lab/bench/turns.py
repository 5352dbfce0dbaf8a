"""Streams that take turns; one that fails is left out, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

from hermes_lab.bench.timed_stream import TimedStream
from hermes_stream.errors import HermesError

FAILURES = (HermesError, RuntimeError)
"""What ends one measurement alone; torch raises the latter where memory is short or a kernel fails."""


@final
class Turns:
    """The streams of a run that are still measured.

    Attributes:
        streams: they take turns in this order.
        left_out: policy, number of frames and reason of those that are not measured.
    """

    def __init__(self) -> None:
        self.streams: list[TimedStream] = []
        self.left_out: list[dict[str, Any]] = []

    def leave_out(self, policy: str, num_frames: int, error: Exception) -> None:
        """Note why a stream is not measured."""
        reason = (str(error) or type(error).__name__).splitlines()[0]
        self.left_out.append({"policy": policy, "num_frames": num_frames, "reason": reason})

    def try_once(self, stream: TimedStream, act: Callable[[TimedStream], None]) -> bool:
        """Let one of the streams act; one that fails leaves. Tell whether it stays."""
        try:
            act(stream)
        except FAILURES as error:
            self.leave_out(stream.policy, stream.num_frames, error)
            self.streams.remove(stream)
            return False
        return True

    def rotate(
        self,
        act: Callable[[TimedStream], None],
        *,
        until: Callable[[TimedStream], bool],
        among: Iterable[TimedStream] | None = None,
    ) -> None:
        """Let each stream act once a round until it is done; each round begins with another stream.

        Args:
            act: called with the stream whose turn it is.
            until: tells whether one is done.
            among: some of the streams; None is all.
        """
        first, left = 0, list(self.streams if among is None else among)
        while left := [one for one in left if not until(one)]:
            start = first % len(left)
            failed = [one for one in (*left[start:], *left[:start]) if not self.try_once(one, act)]
            left = [one for one in left if one not in failed]
            first += 1
