"""One client of the server: its requests, and the packets that are sent to it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from hermes_stream.video.rtsp.packets import Burst

if TYPE_CHECKING:
    from hermes_stream.video.rtsp.broadcast import Broadcast

_MAX_WAITING_BYTES = 4 * 2**20
_MAX_HEADERS = 100
_MAX_BODY_BYTES = 2**16
_REALM = "hermes-stream"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
_REASONS = {
    200: "OK",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    461: "Unsupported Transport",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        return re.sub(r"^rtsps?://[^/]*", "", self.url).partition("?")[0].strip("/")


@final
class Connection:
    """Serves one client until it leaves.

    Args:
        reader: what it sends.
        writer: what is sent to it.
        find: returns the broadcast of a path, None where there is none.
        credentials: user name and password that it must know, None for none.
        loses: tells whether the next packet is lost on the way.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        find: Callable[[str], Broadcast | None],
        credentials: tuple[str, str] | None,
        loses: Callable[[], bool],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._find, self._credentials, self._loses = find, credentials, loses
        self._session, self._nonce = secrets.token_hex(8), secrets.token_hex(16)
        self._channel: int | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._needs_key = True
        self.playing: Broadcast | None = None

    async def serve(self) -> None:
        """Answer requests until the client leaves."""
        try:
            while (request := await self._request()) is not None:
                status, headers, body = await self._answer(request)
                self._reply(request, status, headers, body)
                await self._writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass  # the client is gone, or speaks something else
        finally:
            self.close()

    def close(self) -> None:
        """Cut the client off."""
        self._tear_down()
        self._writer.transport.abort()

    def _tear_down(self) -> None:
        """End the session. The connection stays: a client may ask for another, or pause what has ended."""
        self.playing = self._channel = None
        if self._udp is not None:
            self._udp.close()
            self._udp = None

    def send(self, burst: Burst) -> None:
        """Send the packets of one picture; a client that is behind misses pictures up to a key frame."""
        if burst.is_key:
            self._needs_key = False
        if self._writer.transport.get_write_buffer_size() > _MAX_WAITING_BYTES:
            self._needs_key = True
        if self._needs_key:
            return
        for packet in burst.packets:
            if self._loses():
                continue
            if self._udp is not None:
                self._udp.sendto(packet)
            elif self._channel is not None:
                self._writer.write(struct.pack(">cBH", b"$", self._channel, len(packet)) + packet)

    async def _request(self) -> _Request | None:
        """Read one request; None where the client has left."""
        first = await self._reader.read(1)
        while first == b"$":  # a report of the client's, which nobody reads
            _, size = struct.unpack(">BH", await self._reader.readexactly(3))
            await self._reader.readexactly(size)
            first = await self._reader.read(1)
        if not first:
            return None
        words = (first + await self._reader.readline()).decode("latin-1").split()
        headers: dict[str, str] = {}
        for _ in range(_MAX_HEADERS):
            line = (await self._reader.readline()).decode("latin-1").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        await self._reader.readexactly(min(int(headers.get("content-length", 0)), _MAX_BODY_BYTES))
        if len(words) != 3:
            raise ValueError("no request of RTSP")
        return _Request(method=words[0].upper(), url=words[1], headers=headers)

    async def _answer(self, request: _Request) -> tuple[int, dict[str, str], str]:
        if request.method == "OPTIONS":
            return 200, {"Public": _METHODS}, ""
        if not self._is_known(request):
            challenge = f'Digest realm="{_REALM}", nonce="{self._nonce}"'
            return 401, {"WWW-Authenticate": challenge}, ""
        broadcast = self._find(request.path)
        session = {"Session": self._session}
        if broadcast is None:
            return 404, {}, ""
        answer: tuple[int, dict[str, str], str] = 405, {"Allow": _METHODS}, ""
        match request.method:
            case "DESCRIBE":
                base = {"Content-Type": "application/sdp", "Content-Base": request.url.rstrip("/") + "/"}
                answer = 200, base, _description(broadcast)
            case "SETUP":
                answer = await self._set_up(request)
            case "PLAY":
                broadcast.begin()
                self.playing, self._needs_key = broadcast, True
                answer = 200, session | {"Range": "npt=now-"}, ""
            case "PAUSE":
                self.playing = None
                answer = 200, session, ""
            case "TEARDOWN":
                self._tear_down()
                answer = 200, session, ""
            case "GET_PARAMETER" | "SET_PARAMETER":
                answer = 200, session, ""
        return answer

    async def _set_up(self, request: _Request) -> tuple[int, dict[str, str], str]:
        transport = request.headers.get("transport", "")
        if match := re.search(r"interleaved=(\d+)", transport):
            self._channel = int(match[1]) % 256
            kind = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        elif match := re.search(r"RTP/AVP(?:/UDP)?;.*client_port=(\d+)", transport):
            host, port = self._writer.get_extra_info("peername")[0], int(match[1])
            loop = asyncio.get_running_loop()
            self._udp, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=(host, port)
            )
            own = self._udp.get_extra_info("sockname")[1]
            kind = f"RTP/AVP;unicast;client_port={port}-{port + 1};server_port={own}-{own + 1}"
        else:
            return 461, {}, ""
        return 200, {"Transport": kind, "Session": f"{self._session};timeout=60"}, ""

    def _reply(self, request: _Request, status: int, headers: dict[str, str], body: str) -> None:
        lines = [f"RTSP/1.0 {status} {_REASONS[status]}", f"CSeq: {request.headers.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        content = body.encode()
        if content:
            lines.append(f"Content-Length: {len(content)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + content)

    def _is_known(self, request: _Request) -> bool:
        if self._credentials is None:
            return True
        user, password = self._credentials
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        if kind == "Basic":
            return secrets.compare_digest(rest, base64.b64encode(f"{user}:{password}".encode()).decode())
        given = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        secret = _md5(f"{user}:{_REALM}:{password}")
        asked = _md5(f"{request.method}:{given.get('uri', '')}")
        expected = _md5(f"{secret}:{self._nonce}:{asked}")
        return secrets.compare_digest(given.get("response", ""), expected)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # what RFC 2326 asks for


def _description(broadcast: Broadcast) -> str:
    encoding = broadcast.packetizer.encoding
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=hermes-stream", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
    lines += [
        f"m=video 0 RTP/AVP {encoding.payload_type}",
        f"a=rtpmap:{encoding.payload_type} {encoding.rtp_name}/90000",
    ]
    if encoding.parameters:
        lines.append(f"a=fmtp:{encoding.payload_type} {encoding.parameters}")
    lines += [f"a=framerate:{broadcast.fps:g}", "a=control:trackID=0", ""]
    return "\r\n".join(lines)
