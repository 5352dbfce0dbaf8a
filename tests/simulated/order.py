"""CUDA streams, and who must have waited for whom before memory is read, written or given out again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from tests.simulated.tensors import GpuFault


class Stream:
    """A CUDA stream, or the host.

    Args:
        device: of the stream.

    Attributes:
        time: how many things were asked of it.
        known: up to which time it has waited for each other one.
    """

    def __init__(self, device: Any = "cuda:0", **_: Any) -> None:
        from tests.simulated.device import SimulatedGpus

        self.device, self.time = torch.device(device), 0
        self.known = defaultdict[Stream, int](int)
        if self.device.type == "cuda":
            SimulatedGpus.running.streams.append(self)

    def wait_stream(self, other: Stream) -> None:
        for one, until in (*other.known.items(), (other, other.time)):
            self.known[one] = max(self.known[one], until)

    def is_behind(self, other: Stream, time: int) -> bool:
        return other is self or self.known[other] >= time

    def synchronize(self) -> None:
        from tests.simulated.device import SimulatedGpus

        SimulatedGpus.running.wait(self, "a stream's synchronize")


class Event:
    """A moment of a stream; simulated work is done when it is asked for."""

    def __init__(self, **_: Any) -> None:
        self._seconds: float | None = None

    def record(self, stream: Stream) -> None:
        self._stream, self._seconds = stream, time.perf_counter()

    def synchronize(self) -> None:
        self._stream.synchronize()

    def elapsed_time(self, later: Event) -> float:
        return 1000 * (later._seconds - self._seconds)


class Memory:
    """What is known of a piece of memory of a GPU.

    Args:
        owner: the stream on which it was asked for; None for that of graphs.
        nbytes: its size.

    Attributes:
        written: stream and time of the last write.
        read: by which streams since, and when.
        kept_for: streams that it is not given out again before.
    """

    def __init__(self, owner: Stream | None, nbytes: int) -> None:
        self.owner, self.nbytes = owner, nbytes
        self.written: tuple[Stream, int] | None = None
        self.read: dict[Stream, int] = {}
        self.kept_for: set[Stream] = set()

    def uses(self) -> Iterator[tuple[Stream, int]]:
        yield from self.read.items()
        if self.written is not None:
            yield self.written

    def may_be_in_use(self, host: Stream) -> bool:
        """Tell whether a stream may still use it where its owner's next work gets it."""
        return self.owner is not None and any(
            not host.is_behind(*use) and not self.owner.is_behind(*use)
            for use in self.uses()
            if use[0] not in self.kept_for
        )


def launch(stream: Stream, reads: Iterable[Memory], writes: Iterable[Memory], what: str) -> None:
    """Ask a stream for work; it must be behind what made what it reads, and what reads what it writes.

    Raises:
        GpuFault: it may be done too early.
    """
    stream.time += 1
    for one in (*reads, *writes):
        if one.written is not None and not stream.is_behind(*one.written):
            raise GpuFault(f"{what} uses {one.nbytes} bytes that another stream may not have written yet")
    for one in writes:
        if not all(stream.is_behind(*use) for use in one.read.items()):
            raise GpuFault(f"{what} writes {one.nbytes} bytes that another stream may still read")
    for one in reads:
        one.read[stream] = stream.time
    for one in writes:
        one.written, one.read = (stream, stream.time), {}
