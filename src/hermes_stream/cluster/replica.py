"""One replica: a service with its own engine and server, a member of those that share a record."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import ExitStack
from typing import Any

from hermes_stream.cluster.plan import Plan
from hermes_stream.models import load_model
from hermes_stream.server import Server
from hermes_stream.server.listening import free_port
from hermes_stream.service import Service
from hermes_stream.service.configured import open_configured, tell_configured
from hermes_stream.service.heap import bound_heap
from hermes_stream.service.ownership.membership import Membership
from hermes_stream.service.settings import NamedStream
from hermes_stream.service.status import StreamStatus
from hermes_stream.stream.capacity import num_streams_in_time

_DRAIN_SECONDS = 20.0

log = logging.getLogger(__name__)


class Replica:
    """Runs until it is closed; its streams then go on at others.

    Args:
        plan: what it runs.
        name: of the replica; no other that lives has it.
        host: to listen at, which the gateway reaches.

    Attributes:
        address: of its server.
        service: the streams.
    """

    def __init__(self, plan: Plan, name: str, *, host: str = "127.0.0.1") -> None:
        if plan.start.threads is not None:
            import torch

            torch.set_num_threads(plan.start.threads)
        self._start = plan.start
        self._parts = ExitStack()
        port = free_port(host)
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        membership = Membership(name, self.address, lease_seconds=plan.cluster.lease_seconds)
        bound_heap()
        model = load_model(plan.start.model)
        self._fps = plan.service.fps or model.card.default_fps
        self.service = Service(model, plan.start.data_dir, settings=plan.service, membership=membership)
        self._parts.callback(self.service.close, drain_seconds=_DRAIN_SECONDS)
        try:
            server = Server(self.service, plan.replica_server(host).model_copy(update={"port": port}))
            self._parts.enter_context(server.listening())
        except BaseException:
            self._parts.close()
            raise

    def open_stream(self, name: str, stream: dict[str, Any]) -> StreamStatus:
        """Open a stream of the command line or the settings, whose source is trusted, and ask its watches."""
        named = NamedStream.model_validate(stream)
        return open_configured(
            self.service, name, named, self._start.watches, on_trouble=lambda text: log.warning("%s", text)
        )

    def tell_receivers(self) -> None:
        """Let the receivers be told that the settings name; once for all replicas."""
        tell_configured(self.service, self._start.webhooks, on_trouble=lambda text: log.warning("%s", text))

    def stats(self) -> dict[str, Any]:
        """Return what it has, for whoever chooses a replica."""
        capacity = self.service.capacity()
        return {
            "streams": [one.name for one in self.service.streams(temporary=True)],
            "num_streams": capacity.num_streams,
            "more_streams": capacity.more_streams,
            "used_bytes": capacity.used_bytes,
        }

    def load_stats(self) -> dict[str, float]:
        """Return how many streams it has, and how many more it keeps up with.

        That is what fits beside them and what there is time for, as ``hermes doctor --cameras`` counts both,
        here by what frames have taken lately.
        """
        capacity = self.service.capacity()
        more = capacity.more_streams
        if capacity.frame_seconds:
            in_time = num_streams_in_time(self._fps * capacity.frame_seconds)
            more = min(more, max(0, in_time - capacity.num_streams))
        return {
            "num_streams": float(capacity.num_streams),
            "more_streams": float(more),
            "used_bytes": float(capacity.used_bytes),
        }

    def close(self) -> None:
        """Give all streams back, saved, and end; safe to repeat."""
        self._parts.close()


def new_name() -> str:
    """Return a name for a replica: the machine's, and a few letters of its own."""
    return f"{socket.gethostname().partition('.')[0]}-{os.urandom(3).hex()}"
