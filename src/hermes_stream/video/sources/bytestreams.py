"""Files for PyAV whose reading can be stopped: a TCP connection, datagrams, another program's output."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
from ipaddress import ip_address
from typing import final

from hermes_stream.errors import VideoError
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.dialing import wait_for
from hermes_stream.video.sources.lifeline import TICK_SECONDS, Lifeline

_MAX_DATAGRAM_BYTES = 2**16
_WAITING_BYTES = 4 * 2**20  # some seconds of a camera, while this machine is busy
_END_SECONDS = 0.5


@final
class SocketStream:
    """What comes over a connected socket whose calls time out often."""

    def __init__(self, connected: socket.socket, lifeline: Lifeline) -> None:
        self._socket, self._lifeline = connected, lifeline

    def read(self, num_bytes: int) -> bytes:
        """Return what has come, at least one byte; nothing at the end, or when reading is cut."""
        while not self._lifeline.is_cut:
            try:
                content = self._socket.recv(num_bytes)
            except TimeoutError:
                continue
            except OSError:
                return b""
            self._lifeline.received(len(content))
            return content
        return b""

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@final
class DatagramStream:
    """What is sent to a port of this machine, joined.

    Args:
        address: whose port is listened at: a number of this machine, a multicast group, or nothing for all.
        lifeline: when to give up.

    Raises:
        VideoError: nobody can listen there.
    """

    def __init__(self, address: Address, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._left = b""
        try:
            self._socket = _listening(address)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"{address.shown}: nobody can listen there ({reason}); accepted: udp://NUMBER:PORT with a "
                "number of this machine, 0.0.0.0 for all of them, or a multicast group"
            ) from error

    def read(self, num_bytes: int) -> bytes:
        """Return one datagram, or what is left of it; nothing when reading is cut."""
        while not self._left:
            if self._lifeline.is_cut:
                return b""
            try:
                self._left = self._socket.recv(_MAX_DATAGRAM_BYTES)
            except TimeoutError:
                continue
            except OSError:
                return b""
            self._lifeline.received(len(self._left))
        content, self._left = self._left[:num_bytes], self._left[num_bytes:]
        return content

    def close(self) -> None:
        """Close the port."""
        self._socket.close()


@final
class ProgramStream:
    """What another program writes to its standard output.

    Args:
        command: the program and its arguments.
        lifeline: when to give up.

    Raises:
        VideoError: the program cannot be started.
    """

    def __init__(self, command: list[str], lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._reading, writing = socket.socketpair()
        try:
            self._program = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=writing.fileno(), stderr=subprocess.DEVNULL
            )
        except OSError as error:
            self._reading.close()
            raise VideoError(f"{command[0]} cannot be started: {error.strerror}") from None
        finally:
            writing.close()

    def read(self, num_bytes: int) -> bytes:
        """Return what was written, at least one byte; nothing at the end, or when reading is cut."""
        while not self._lifeline.is_cut:
            if wait_for([self._reading], [])[0]:
                content = self._reading.recv(num_bytes)
                self._lifeline.received(len(content))
                return content
        return b""

    def close(self) -> None:
        """End the program."""
        self._reading.close()
        self._program.send_signal(signal.SIGTERM)
        try:
            self._program.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()


def srt_command(address: Address, number: str) -> list[str]:
    """Return the command that reads SRT and writes MPEG-TS.

    Args:
        address: what is read.
        number: of its host.

    Raises:
        VideoError: there is no ``ffmpeg`` program.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise VideoError(
            f"{address.shown}: SRT is read through the ffmpeg program, which is not here; install it "
            "(Debian: apt install ffmpeg), or let the camera send RTSP or MPEG-TS"
        )
    host = f"[{number}]" if ":" in number else number
    query = f"?{address.query}" if address.query else ""
    url = f"srt://{host}:{address.port}{query}"
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "quiet", "-protocol_whitelist", "srt,pipe"]
    quick = ["-analyzeduration", "500000", "-fpsprobesize", "1"]
    return [program, *quiet, *quick, "-i", url, "-map", "0:v:0", "-c", "copy", "-f", "mpegts", "pipe:1"]


def _listening(address: Address) -> socket.socket:
    number = ip_address(address.host or "0.0.0.0")
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_DGRAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
        if number.is_multicast:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((str(number), address.port or 0))
        if number.is_multicast and number.version == 4:
            group = socket.inet_aton(str(number)) + struct.pack("=I", socket.INADDR_ANY)
            listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        elif number.is_multicast:
            group = number.packed + struct.pack("@I", 0)
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    except OSError:
        listening.close()
        raise
    listening.settimeout(TICK_SECONDS)
    return listening
