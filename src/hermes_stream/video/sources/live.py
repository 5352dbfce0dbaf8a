"""A live source: opened again for ever, with one clock, its gaps told."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import final

import av

from hermes_stream.errors import SourceRefusedError, VideoError
from hermes_stream.video.frame import Frame
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.connecting import Connection, connect, reason_of
from hermes_stream.video.sources.lifeline import Lifeline
from hermes_stream.video.sources.live_reading import LiveReading
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.policy import SourcePolicy
from hermes_stream.video.sources.source import (
    SourceEvent,
    SourceEventKind,
    SourceState,
    SourceStats,
    Tally,
)

_logger = logging.getLogger(__name__)
_FIRST_DELAY_SECONDS = 0.5
_MAX_DELAY_SECONDS = 30.0
_JITTER = 0.2  # so that many cameras behind one switch are not all asked at once
_SLEEP_SECONDS = 5.0
Connect = Callable[..., Connection]


@final
class LiveSource:
    """A ``Source`` of a camera, a screen or whatever else is live.

    Args:
        address: where it is.
        options: how it is read.
        policy: what may be opened, asked again for every machine that is connected to.
        connecting: opens the source once; another one where a device is to be imitated.

    Raises:
        SourceRefusedError: the policy does not allow the address.
    """

    def __init__(
        self,
        address: Address,
        options: SourceOptions | None = None,
        *,
        policy: SourcePolicy | None = None,
        connecting: Connect = connect,
    ) -> None:
        self._policy = policy or SourcePolicy()
        self._policy.check(address)
        self._address, self._options, self._connect = address, options or SourceOptions(), connecting
        self._stopped = threading.Event()
        self._tally = Tally(address.shown)
        self._reading = LiveReading(self._options, self._tally, self._stopped)
        self._is_over = False

    @property
    def stats(self) -> SourceStats:
        """What is known of the source now."""
        return self._tally.stats

    def stop(self) -> None:
        """Make ``read`` end within a second, from any thread."""
        self._stopped.set()

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames alone."""
        return (item for item in self.read() if isinstance(item, Frame))

    def read(self) -> Iterator[Frame | SourceEvent]:
        """Yield frames and events until it is stopped, a recording ends, or it fails for good."""
        try:
            while not self._stopped.is_set():
                if not self._reading.is_watched:
                    yield from self._sleep()
                    continue
                yield from self._read_once()
                if self._is_over:
                    return
                if self._reading.is_watched:
                    self._stopped.wait(self._delay_seconds())
        finally:
            if not self._is_over:
                self._tally.set(state=SourceState.ENDED, reason="stopped")

    def _sleep(self) -> Iterator[SourceEvent]:
        """Wait until the schedule has the source watched again."""
        reason = "its schedule has it watched later"
        if self._options.watched is not None and (until := self._options.watched.next_change(time.time())):
            reason = f"its schedule has it watched from {until:%A %H:%M}"
        self._tally.set(state=SourceState.SLEEPING, reason=reason)
        yield self._tally.event(SourceEventKind.SLEEPING, reason)
        while not (self._reading.is_watched or self._stopped.wait(_SLEEP_SECONDS)):
            pass
        self._tally.set(state=SourceState.OPENING, reason="")

    def _read_once(self) -> Iterator[Frame | SourceEvent]:
        """Open the source and read it until it breaks."""
        lifeline = Lifeline(self._stopped, silent_seconds=self._options.silent_seconds)
        try:
            connection = self._connect(self._address, self._options, policy=self._policy, lifeline=lifeline)
        except SourceRefusedError as error:
            yield self._end(SourceState.FAILED, SourceEventKind.FAILED, str(error))
            return
        except VideoError as error:
            yield from self._lost(str(error))
            return
        reason = None
        try:
            yield from self._reading.read(connection, lifeline)
        except av.error.FFmpegError as error:
            reason = reason_of(error)
        except VideoError as error:
            reason = str(error)
        finally:
            connection.close()
        reason = lifeline.why_cut or reason
        if connection.body is not None and connection.body.is_broken:
            reason = reason or "it closed the connection before the end"
        if not self._reading.is_watched or self._stopped.is_set():
            return
        if connection.is_finite and reason is None:
            yield self._end(SourceState.ENDED, SourceEventKind.ENDED, "the recording has ended")
        elif connection.is_finite and self._tally.stats.state is SourceState.LIVE:
            # opened again it would begin again, and what was seen would be seen twice
            yield self._end(SourceState.FAILED, SourceEventKind.FAILED, f"the recording broke: {reason}")
        else:
            yield from self._lost(reason or "it closed the connection")

    def _lost(self, reason: str) -> Iterator[SourceEvent]:
        """Tell, once, that there are no pictures."""
        if self._stopped.is_set():
            return
        was_live = self._tally.stats.state is SourceState.LIVE
        self._tally.count(num_failed_tries=int(not was_live))
        stats = self._tally.stats
        is_first_try = stats.state is SourceState.OPENING and stats.num_failed_tries <= 1
        state = SourceState.RECONNECTING if stats.newest_seconds is not None else SourceState.OPENING
        self._tally.set(state=state, reason=reason)
        if was_live or is_first_try:
            _logger.warning("%s: %s", stats.address, reason.removeprefix(f"{stats.address} "))
            yield self._tally.event(SourceEventKind.DISCONNECTED, reason)

    def _end(self, state: SourceState, kind: SourceEventKind, reason: str) -> SourceEvent:
        self._is_over = True
        self._tally.set(state=state, reason=reason)
        return self._tally.event(kind, reason)

    def _delay_seconds(self) -> float:
        """Return how long to wait before the source is opened again."""
        num_failed = min(10, self._tally.stats.num_failed_tries)
        seconds = min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**num_failed)
        return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
