"""The newest pictures as JPEG; each is made once, however many look."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from hermes_stream.service import Service
from hermes_stream.video.jpeg import encode_jpeg

_MAX_KEPT = 256
_QUALITY = 75
_NUM_LOCKS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A picture for people.

    Attributes:
        pts_seconds: when, in seconds of the stream.
        jpeg: the picture.
    """

    pts_seconds: float
    jpeg: bytes


class Previews:
    """Makes JPEGs of newest pictures; any thread may call.

    Args:
        service: has them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        # one picture is made once, and nobody waits for another stream's
        self._making = tuple(threading.Lock() for _ in range(_NUM_LOCKS))
        self._made: OrderedDict[str, Preview] = OrderedDict()

    def newest(self, stream: str, *, after_seconds: float | None = None) -> Preview | None:
        """Return a stream's newest picture; None where there is none, or none newer.

        Args:
            stream: its name.
            after_seconds: time of the picture that the caller has.

        Raises:
            UnknownStreamError: there is no such stream.
        """
        frame = self._service.preview(stream)
        if frame is None or frame.pts_seconds == after_seconds:
            return None
        with self._making[hash(stream) % _NUM_LOCKS]:
            made = self._kept(stream)
            if made is None or made.pts_seconds != frame.pts_seconds:
                made = Preview(pts_seconds=frame.pts_seconds, jpeg=encode_jpeg(frame.image, quality=_QUALITY))
                self._keep(stream, made)
        return made

    def _kept(self, stream: str) -> Preview | None:
        with self._lock:
            return self._made.get(stream)

    def _keep(self, stream: str, made: Preview) -> None:
        with self._lock:
            self._made[stream] = made
            self._made.move_to_end(stream)
            while len(self._made) > _MAX_KEPT:
                self._made.popitem(last=False)
