"""HTTP Live Streaming: a playlist that names the newest pieces of a stream, read one behind the other.

FFmpeg's own reader waits between pieces without asking whether it should stop, and opens whatever a playlist
names; so pieces are fetched here and joined, and FFmpeg sees one stream.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import final

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.dialing import Access
from hermes_stream.video.sources.lifeline import TICK_SECONDS
from hermes_stream.video.sources.web import WebStream, neighbour, open_web

_MAX_PLAYLIST_BYTES = 2**20
_NUM_BEHIND = 2  # the newest piece may not be ready everywhere
_MAX_RELOAD_SECONDS = 10.0
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
CONTENT_TYPES = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Playlist:
    """What a playlist says.

    Attributes:
        pieces: addresses of the pieces, oldest first.
        first_number: of the first of them.
        header: address of what comes before the first piece, None where there is nothing.
        target_seconds: about how long a piece is.
        is_finished: tells whether no more pieces come: a recording.
        variants: playlists to choose from instead, each with its pixels and bits per second.
    """

    pieces: tuple[str, ...] = ()
    first_number: int = 0
    header: str | None = None
    target_seconds: float = 6.0
    is_finished: bool = False
    variants: tuple[tuple[int, int, str], ...] = ()


def parse_playlist(text: str) -> Playlist:
    """Read a playlist.

    Raises:
        VideoError: it is none, or its pieces are encrypted or parts of one file.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise VideoError("what was received is no playlist of HLS")
    tags: dict[str, str] = {}
    pieces: list[str] = []
    variants: list[tuple[int, int, str]] = []
    for line in lines:
        if line.startswith("#EXT"):
            name, _, value = line[1:].partition(":")
            tags[name] = value
            if name == "EXT-X-KEY" and _attributes(value).get("METHOD") != "NONE":
                raise VideoError("its pieces are encrypted, which is not read; ask for a stream without that")
            if name == "EXT-X-BYTERANGE" or "BYTERANGE" in _attributes(value):
                raise VideoError("its pieces are parts of one file, which is not read; let each have its own")
        elif not line.startswith("#"):
            stream = _attributes(tags.pop("EXT-X-STREAM-INF", ""))
            if stream:
                width, _, height = stream.get("RESOLUTION", "0x0").lower().partition("x")
                variants.append((_whole(width) * _whole(height), _whole(stream.get("BANDWIDTH", "0")), line))
            else:
                pieces.append(line)
    return Playlist(
        pieces=tuple(pieces),
        first_number=_whole(tags.get("EXT-X-MEDIA-SEQUENCE", "0")),
        header=_attributes(tags.get("EXT-X-MAP", "")).get("URI"),
        target_seconds=min(60.0, max(1.0, float(_whole(tags.get("EXT-X-TARGETDURATION", "6"))))),
        is_finished="EXT-X-ENDLIST" in tags,
        variants=tuple(variants),
    )


@final
class PlaylistStream:
    """The pieces of a playlist as one file for PyAV, from near the newest one on.

    Args:
        address: of the playlist.
        first: its answer, read already up to its body.
        access: how other machines are reached.
        max_pixels: of what is seen: the smallest variant with as many is chosen, None for the largest.

    Attributes:
        is_finished: tells whether it is a recording, which is read from its beginning.

    Raises:
        SourceRefusedError: the policy does not allow what it leads to.
        VideoError: there is no playlist that is read.
    """

    def __init__(
        self,
        address: Address,
        first: WebStream,
        *,
        access: Access,
        max_pixels: int | None,
    ) -> None:
        self._access, self._lifeline = access, access.lifeline
        self._waiting = threading.Event()
        self._piece: WebStream | None = None
        self._address, self._base = address, first.address
        playlist = parse_playlist(_text_of(first))
        if playlist.variants:
            self._address = neighbour(self._base, _chosen(playlist.variants, max_pixels))
            playlist = self._load()
        self._playlist = playlist
        self.is_finished = playlist.is_finished
        behind = len(playlist.pieces) if playlist.is_finished else _NUM_BEHIND
        self._next_number = playlist.first_number + max(0, len(playlist.pieces) - behind)
        self.target_seconds = playlist.target_seconds
        if playlist.header is not None:
            self._piece = self._opened(playlist.header)

    def read(self, num_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing at the end, or when reading is cut."""
        while not self._lifeline.is_cut:
            if self._piece is not None:
                content = self._piece.read(num_bytes)
                if content:
                    return content
                self._piece.close()
                self._piece = None
            try:
                if not self._advance():
                    return b""
            except VideoError as error:
                self._lifeline.cut(str(error))
        return b""

    def close(self) -> None:
        """Close what is open."""
        if self._piece is not None:
            self._piece.close()

    def _advance(self) -> bool:
        """Open the next piece, or wait for one; tell whether more may come."""
        playlist = self._playlist
        if self._next_number >= playlist.first_number + len(playlist.pieces):
            if playlist.is_finished:
                return False
            self._wait(min(_MAX_RELOAD_SECONDS, playlist.target_seconds / 2))
            self._playlist = playlist = self._load()
            if self._next_number > playlist.first_number + len(playlist.pieces) + 1:
                self._next_number = playlist.first_number  # the server has begun anew
        self._next_number = max(self._next_number, playlist.first_number)
        if self._next_number < playlist.first_number + len(playlist.pieces):
            self._piece = self._opened(playlist.pieces[self._next_number - playlist.first_number])
            self._next_number += 1
        return True

    def _wait(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / TICK_SECONDS))):
            if self._lifeline.is_cut:
                return
            self._waiting.wait(TICK_SECONDS)

    def _load(self) -> Playlist:
        answer = self._open(self._address)
        self._base = answer.address
        return parse_playlist(_text_of(answer))

    def _opened(self, link: str) -> WebStream:
        return self._open(neighbour(self._base, link))

    def _open(self, address: Address) -> WebStream:
        self._access.policy.check(address)
        return open_web(address, self._access)


def _text_of(answer: WebStream) -> str:
    content = bytearray()
    while len(content) <= _MAX_PLAYLIST_BYTES and (more := answer.read(2**16)):
        content += more
    answer.close()
    if len(content) > _MAX_PLAYLIST_BYTES:
        raise VideoError(f"its playlist is longer than {_MAX_PLAYLIST_BYTES} bytes")
    return content.decode("utf-8", "replace")


def _chosen(variants: tuple[tuple[int, int, str], ...], max_pixels: int | None) -> str:
    ordered = sorted(variants)
    enough = [one for one in ordered if max_pixels is not None and one[0] >= max_pixels]
    return (enough[0] if enough else ordered[-1])[2]


def _attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def _whole(text: str) -> int:
    match = re.match(r"\d{1,15}", text.strip())
    return int(match[0]) if match else 0
