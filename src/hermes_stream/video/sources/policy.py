"""What may be opened: everything for whoever runs the program, little for whoever calls it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import final
from urllib.parse import unquote

from hermes_stream.errors import SourceRefusedError
from hermes_stream.video.sources.address import DEFAULT_PORTS, Address

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_PATTERN = re.compile(
    r"(?P<scheme>[a-z0-9*]+)://(?P<host>[^/:\[\]]+|\[[^\]]+\])(?::(?P<port>\d+|\*))?(?P<path>/.*)?"
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")  # public, for older Pythons


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePolicy:
    """What may be opened.

    Attributes:
        allow: patterns of addresses that may be opened; None allows all. ``rtsp://10.0.0.*:554/*``,
            ``https://*.example.org/live/*``: ``*`` stands for anything, a port that is missing for the
            scheme's own, a path that is missing for all; an absolute path such as ``/videos/*`` allows
            files and devices, ``screen:*`` screens.
        private_networks: networks such as ``192.168.1.0/24`` that may be reached, though private. Other
            private, local and reserved addresses are refused, whatever a name resolves to; with ``allow``
            None all may be reached.

    Raises:
        ValueError: a pattern or a network is none.
    """

    allow: tuple[str, ...] | None = None
    private_networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check patterns and networks."""
        for pattern in self.allow or ():
            if not (pattern.startswith(("/", "screen:")) or _PATTERN.fullmatch(pattern)):
                raise ValueError(
                    f"allow has {pattern!r}; accepted: scheme://host:port/path with * for anything, such as "
                    "rtsp://10.0.0.*:554/*, an absolute path such as /videos/*, or screen:*"
                )
        for network in self.private_networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(
                    f"private_networks has {network!r} ({error}); accepted: networks such as 192.168.1.0/24"
                ) from error

    @property
    def is_trusting(self) -> bool:
        """Tell whether everything may be opened."""
        return self.allow is None

    def check(self, address: Address) -> None:
        """Check an address before anything is done with it.

        Raises:
            SourceRefusedError: it may not be opened.
        """
        if self.allow is not None and not any(_matches(pattern, address) for pattern in self.allow):
            raise SourceRefusedError(
                f"{address.shown} may not be opened here; an administrator can allow it by a pattern in "
                "allow_sources"
            )

    def check_reached(self, address: Address, number: str) -> None:
        """Check the machine that is about to be connected to.

        Args:
            address: what is opened.
            number: what its host resolved to.

        Raises:
            SourceRefusedError: it lies in a network that may not be reached.
        """
        if self.is_trusting:
            return
        reached = _embedded(ipaddress.ip_address(number.partition("%")[0]))
        allowed = (ipaddress.ip_network(network) for network in self.private_networks)
        is_public = reached.is_global and not reached.is_multicast and reached not in _LOCAL_NAT64
        if not is_public and not any(reached in network for network in allowed):
            raise SourceRefusedError(
                f"{address.shown} lies in a private network, which may not be reached from here; an "
                "administrator can allow it by private_networks"
            )


def _matches(pattern: str, address: Address) -> bool:
    if address.kind == "screen":
        return pattern.startswith("screen:") and fnmatchcase(f"screen:{address.path}", pattern)
    if address.kind in ("file", "device"):
        # Resolved, so that no link and no .. leads out of an allowed folder.
        return pattern.startswith("/") and fnmatchcase(str(Path(address.path).resolve()), pattern)
    match = _PATTERN.fullmatch(pattern)
    if match is None or not fnmatchcase(address.scheme, match["scheme"]):
        return False
    host = address.host.lower().rstrip(".")
    port = match["port"] or str(DEFAULT_PORTS.get(address.scheme))
    if not fnmatchcase(host, match["host"].strip("[]").lower()) or port not in ("*", str(address.port)):
        return False
    path = unquote(unquote(address.path)).replace("\\", "/")
    return ".." not in path.split("/") and fnmatchcase(path or "/", match["path"] or "*")


def _embedded(number: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 one leads to, if it does."""
    if isinstance(number, ipaddress.IPv4Address):
        return number
    if number in _NAT64:
        return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return number.ipv4_mapped or number.sixtofour or (number.teredo or (None, None))[1] or number
