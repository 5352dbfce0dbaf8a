"""Addresses of sources: what they name, and what of them may be shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Literal, final
from urllib.parse import SplitResult, unquote, urlsplit

from hermes_stream.video.paths import readable

Kind = Literal["file", "network", "device", "screen"]
DEFAULT_PORTS = {
    **{"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443},
    **{"tcp": None, "udp": None, "srt": None},
}
"""Schemes of network sources and their ports; None where an address must name one."""
DEVICE_SCHEMES = ("v4l2", "avfoundation", "dshow")
"""Schemes of local cameras, by the program interface of Linux, macOS and Windows."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# Cameras take secrets in paths and queries too: user=admin_password=..., /live/KEY of RTMP.
_SECRET = re.compile(
    r"((?:user|usr|login|pass|pwd|pw|token|key|secret|auth|sig|code|credential)[a-z_]*=)[^&/;,]*",
    re.IGNORECASE,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a source is.

    Attributes:
        kind: what it is.
        scheme: of a URL, lower case; empty for a file's path.
        host: name or number of the machine, without brackets; empty where there is none.
        port: on it, None where there is none.
        path: on that machine, or the name of the file, device or screen.
        shown: the address without user name, password, query and whatever else may be a secret.
        query: after the question mark.
        user: name to log in with, None for none.
        password: to log in with, None for none.
    """

    kind: Kind
    scheme: str
    host: str = ""
    port: int | None = None
    shown: str = ""
    path: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Address:
        """Read an address.

        Args:
            text: a URL, a path, ``/dev/video0`` or ``v4l2:``, ``avfoundation:``, ``dshow:`` and a device,
                ``screen:`` and an X display.

        Raises:
            ValueError: it is none that is read; the message holds no secret of it.
        """
        text = os.fspath(text)
        match = _SCHEME.match(text)
        scheme = match[1].lower() if match else ""
        if scheme == "file":
            return cls._file(unquote(urlsplit(text).path))
        if scheme in DEVICE_SCHEMES:
            return cls(kind="device", scheme=scheme, path=text[len(scheme) + 1 :], shown=readable(text))
        if scheme == "screen":
            return cls(kind="screen", scheme=scheme, path=text[len(scheme) + 1 :], shown=readable(text))
        if text.startswith("/dev/video"):
            return cls(kind="device", scheme="v4l2", path=text, shown=readable(text))
        if scheme in DEFAULT_PORTS and text[len(scheme) :].startswith("://"):
            return cls._network(scheme, text)
        if "://" in text:
            raise ValueError(
                f"sources at {scheme or 'such'}:// are not read; accepted: a path, "
                f"{', '.join(f'{one}://' for one in DEFAULT_PORTS)}, /dev/video0, "
                f"{', '.join(f'{one}:' for one in DEVICE_SCHEMES)}, screen:"
            )
        return cls._file(text)

    @property
    def host_and_port(self) -> str:
        """The machine and the port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (None, DEFAULT_PORTS.get(self.scheme)) else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """Path and query, as a server is asked for them."""
        return (self.path or "/") + (f"?{self.query}" if self.query else "")

    def with_login(self, other: Address) -> Address:
        """Return this address with the user name and password of another."""
        return replace(self, user=other.user, password=other.password)

    @classmethod
    def _file(cls, path: str) -> Address:
        return cls(kind="file", scheme="", path=path, shown=readable(path))

    @classmethod
    def _network(cls, scheme: str, text: str) -> Address:
        try:
            parts = urlsplit(text)
            port, host = parts.port, (parts.hostname or "").removeprefix("@")
        except ValueError:
            # from None: the error that was caught may quote the password
            raise ValueError(
                f"an address at {scheme}:// has no readable host and port; accepted: "
                f"{scheme}://HOST:PORT/PATH, with / ? # @ : of a password written as %2F %3F %23 %40 %3A"
            ) from None
        port = DEFAULT_PORTS[scheme] if port is None else port
        is_listening = scheme == "udp" and not host
        if (not host and not is_listening) or port is None or re.search(r"[\s\x00-\x1f]", text):
            raise ValueError(
                f"an address at {scheme}:// lacks {'a port' if host else 'a host'} or holds blanks; "
                f"accepted: {scheme}://HOST:PORT/PATH"
            )
        if scheme == "udp" and host and not _is_number(host):
            raise ValueError(
                f"udp:// listens at a number of this machine or a multicast group, got the name {host}; "
                "accepted: udp://0.0.0.0:PORT and the like"
            )
        plain = cls(
            kind="network",
            scheme=scheme,
            host=host,
            port=port,
            path=parts.path,
            query=parts.query,
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )
        return replace(plain, shown=_shown(plain, parts))


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(address: Address, parts: SplitResult) -> str:
    path = _SECRET.sub(r"\1...", unquote(parts.path))
    if address.scheme in ("rtmp", "rtmps") and path.count("/") > 1:
        path = path[: path.index("/", 1)] + "/..."  # what follows the application is often a stream key
    query = "?..." if parts.query else ""
    return readable(f"{address.scheme}://{address.host_and_port}{path}{query}")
