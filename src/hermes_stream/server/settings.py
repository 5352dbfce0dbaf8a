"""Options of the server: where it listens, who may come in, and how much is too much."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_MEBIBYTE = 1024 * 1024


class ServerSettings(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Options of the HTTP server, beside those of the service that it serves."""

    host: str = "127.0.0.1"
    """Address to listen at. Any but this machine's own needs keys, or `no_auth` said aloud."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen at; 0 takes a free one."""
    no_auth: bool = False
    """Let everyone who reaches the address do everything, without a key."""
    require_keys: bool = False
    """Ask for keys also on this machine's own address."""
    allow_sources: tuple[str, ...] = ()
    """Addresses that the API may open as sources, such as `rtsp://192.168.1.*:554/*`; none by default."""
    private_networks: tuple[str, ...] = ()
    """Private networks in which such addresses may lie, such as `192.168.1.0/24`; none by default."""
    allow_webhooks: tuple[str, ...] = ()
    """Addresses that the API may name as receivers of webhooks, such as `https://*.example/*`; none by
    default. Private ones must lie in `private_networks`, too."""
    allow_origins: tuple[str, ...] = ()
    """Origins of web pages that may use the API besides the server's own, such as `https://home.example`."""
    allow_hosts: tuple[str, ...] = ()
    """Names by which the server may be called where no key is asked for, besides this machine's own."""
    tls_cert: Path | None = None
    """File of a certificate (PEM); with `tls_key` the server speaks HTTPS."""
    tls_key: Path | None = None
    """File of its key (PEM)."""
    tls_self_signed: bool = False
    """Speak HTTPS with a certificate that the server makes and signs itself, kept in the data folder."""
    max_body_bytes: AtLeastOne = 32 * _MEBIBYTE
    """Size of the body of a request, at most; uploads of files have a limit of their own."""
    max_file_bytes: AtLeastOne = 512 * _MEBIBYTE
    """Size of an uploaded file, at most."""
    max_files_bytes: AtLeastOne = 4096 * _MEBIBYTE
    """What all uploaded files may take together."""
    keep_files_seconds: Positive = 24 * 3600.0
    """How long an uploaded file is kept."""
    max_frame_bytes: AtLeastOne = 8 * _MEBIBYTE
    """Size of a pushed picture, and of a WebSocket message, at most."""
    max_picture_pixels: AtLeastOne = 16_777_216
    """Pixels of a pushed or sent picture, at most."""
    max_chat_frames: AtLeastOne = 1024
    """Pictures that are taken from one file or request of a chat completion, at most."""
    max_connections: AtLeastOne = 512
    """Requests and WebSockets that are open at once, at most."""
    shutdown_seconds: Positive = 10.0
    """How long answers that are being given may take when the server ends."""
    log_format: Annotated[str, Field(pattern="^(text|json)$")] = "text"
    """How lines of the log look: `text` or `json`."""

    @model_validator(mode="after")
    def _check_doors(self) -> ServerSettings:
        if self.no_auth and self.require_keys:
            raise ValueError("no_auth and require_keys exclude each other; give one of them")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; give both files, or neither")
        if self.tls_self_signed and self.tls_cert is not None:
            raise ValueError("tls_self_signed and tls_cert exclude each other; give one of them")
        return self

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine reaches the server."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def needs_keys(self) -> bool:
        """Whether a request needs a key."""
        return not self.no_auth and (self.require_keys or not self.is_local)

    @property
    def scheme(self) -> str:
        """``https`` with a certificate, ``http`` without."""
        return "https" if self.tls_self_signed or self.tls_cert else "http"
