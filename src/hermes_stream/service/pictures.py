"""Small pictures of what the memories hold, in folders by stream and day: ``STREAM/DAY/SECONDS.jpg``."""

from __future__ import annotations

import logging
import shutil
from bisect import bisect_left
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from hermes_stream.errors import UnknownPictureError
from hermes_stream.service.names import check_picture_path
from hermes_stream.video.frame import Frame
from hermes_stream.video.jpeg import encode_jpeg

log = logging.getLogger(__name__)
_SAME_SECONDS = 0.01  # times in the memory may be rounded to 32 bits
_QUALITY = 80


class StreamPictures:
    """Pictures of one stream. Threads may share it.

    Args:
        root: folder of all pictures.
        stream_folder: name of the stream's folder in it.
        max_pixels: size of a picture, at most.
    """

    def __init__(self, root: Path, stream_folder: str, max_pixels: int) -> None:
        self._root, self._stream_folder, self._max_pixels = root, stream_folder, max_pixels
        self._lock = Lock()
        self._path_of: dict[float, str] = {}
        self._failed = self._is_deleted = False
        for path in (root / stream_folder).glob("*/*.jpg"):
            try:
                self._path_of[float(path.stem)] = path.relative_to(root).as_posix()
            except ValueError:
                log.warning("%s is not a picture of this service", path)

    def __len__(self) -> int:
        return len(self._path_of)

    def put(self, frame: Frame, wall_seconds: float) -> None:
        """Keep a picture of a frame; what cannot be written is logged once.

        Args:
            frame: as it came.
            wall_seconds: when it was, seconds since 1970.
        """
        day = datetime.fromtimestamp(wall_seconds, UTC).date()
        path = f"{self._stream_folder}/{day}/{frame.pts_seconds:.6f}.jpg"
        encoded = encode_jpeg(frame.image, quality=_QUALITY, max_pixels=self._max_pixels)
        place = self._root / path
        try:
            try:
                place.write_bytes(encoded)
            except FileNotFoundError:
                with self._lock:  # whoever pushes goes on for a moment when a stream is deleted
                    if self._is_deleted:
                        return
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(encoded)
        except OSError as error:
            if not self._failed:
                log.warning("pictures cannot be kept: %s", error)
            self._failed = True
            return
        self._failed = False
        with self._lock:
            self._path_of[frame.pts_seconds] = path

    def find(self, seconds: float) -> str | None:
        """Return the path of the picture of a moment, within the folder of all pictures."""
        return self.find_all([seconds]).get(seconds)

    def find_all(self, moments: Collection[float]) -> dict[float, str]:
        """Return the paths of the pictures of those moments that have one."""
        with self._lock:
            times = sorted(self._path_of)
            found = {}
            for seconds in moments:
                index = bisect_left(times, seconds - _SAME_SECONDS)
                if index < len(times) and times[index] <= seconds + _SAME_SECONDS:
                    found[seconds] = self._path_of[times[index]]
        return found

    def between(self, from_seconds: float, until_seconds: float) -> dict[float, str]:
        """Return the paths of the pictures from one time of the stream to another, oldest first."""
        with self._lock:
            times = sorted(one for one in self._path_of if from_seconds <= one <= until_seconds)
            return {seconds: self._path_of[seconds] for seconds in times}

    def keep_only(self, moments: Collection[float], cited: Collection[str], until_seconds: float) -> int:
        """Delete pictures of what is forgotten; return how many that were.

        Args:
            moments: that the memory holds.
            cited: paths that answers or events show.
            until_seconds: later frames may still enter the memory.
        """
        kept = set(self.find_all(moments).values()) | set(cited)
        with self._lock:
            gone = {
                seconds: path
                for seconds, path in self._path_of.items()
                if seconds <= until_seconds and path not in kept
            }
            for seconds in gone:
                del self._path_of[seconds]
        for path in gone.values():
            (self._root / path).unlink(missing_ok=True)
        return len(gone)

    def copy_from(self, other: StreamPictures) -> None:
        """Take over another stream's pictures, as files of its own; what cannot be copied is left out."""
        with other._lock:
            paths = dict(other._path_of)
        for seconds, path in paths.items():
            own = f"{self._stream_folder}/{path.partition('/')[2]}"
            place = self._root / own
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._root / path, place)
            except OSError as error:
                log.info("a picture is not copied: %s", error)
                continue
            with self._lock:
                self._path_of[seconds] = own

    def delete(self, paths: Collection[str]) -> None:
        """Delete pictures by their paths."""
        wanted = set(paths)
        with self._lock:
            self._path_of = {seconds: path for seconds, path in self._path_of.items() if path not in wanted}
        for path in wanted:
            (self._root / path).unlink(missing_ok=True)

    def delete_all(self) -> None:
        """Delete all pictures of the stream, and keep none from now on."""
        with self._lock:
            self._is_deleted, self._path_of = True, {}
            shutil.rmtree(self._root / self._stream_folder, ignore_errors=True)


def read_picture(root: Path, path: str) -> bytes:
    """Return a picture, a JPEG file.

    Args:
        root: folder of all pictures.
        path: within it, as events and answers cite it.

    Raises:
        ValueError: it is no such path.
        UnknownPictureError: there is no such picture, or no more.
    """
    place = root / check_picture_path(path)
    try:
        if not place.resolve().is_relative_to(root.resolve()):  # a link leads out of the folder
            raise FileNotFoundError(place)
        return place.read_bytes()
    except OSError as error:
        raise UnknownPictureError(f"there is no picture {path!r}; it may have been forgotten") from error
