"""Reads a source in a thread, as a feed does, and waits for what it is to give."""

from __future__ import annotations

import threading
import time

from hermes_stream.video import Frame


class Reading:
    """Frames and events of a source, collected while it is read."""

    def __init__(self, source):
        self.source, self.items = source, []
        self._thread = threading.Thread(target=self._read)

    def _read(self):
        for item in self.source.read():
            self.items.append(item)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.source.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()

    @property
    def frames(self):
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def events(self):
        return [item for item in self.items if not isinstance(item, Frame)]

    @property
    def kinds(self):
        return [event.kind.value for event in self.events]

    @property
    def times(self):
        return [frame.pts_seconds for frame in self.frames]

    def until(self, is_so, seconds=10.0):
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, (self.kinds, len(self.frames), self.source.stats)
            time.sleep(0.02)

    def more_frames(self, count=3, seconds=10.0):
        """Wait for some more frames."""
        wanted = len(self.frames) + count
        self.until(lambda: len(self.frames) >= wanted, seconds)

    def ended(self, seconds=10.0):
        """Wait until the source gives no more."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.kinds
        return self
