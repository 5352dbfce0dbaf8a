"""Faults put where the work of one stream of an engine is done, as damage and bugs put them there.

A fault fails late: after the forward in which it happens has written all that it writes, for all streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any, Literal, get_args
from unittest.mock import patch

from hermes_stream.models.visual import Pixels
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.executor import Prepared
from hermes_stream.stream.handle import StreamHandle
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.work import ForwardRequest

Place = Literal["prepare", "encode", "forward", "plan", "decode"]
PLACES: tuple[Place, ...] = get_args(Place)


class InjectedError(RuntimeError):
    """What a fault raises; never raised otherwise."""


class Fault:
    """Raises as often as it is told to.

    Args:
        place: where it happens.
        times: how often; None for ever.

    Attributes:
        num_raised: how often it did.
    """

    def __init__(self, place: Place, times: int | None = None) -> None:
        self.place, self._times, self.num_raised = place, times, 0

    def strike(self) -> None:
        """Fail, unless that was done often enough.

        Raises:
            InjectedError: as its name says.
        """
        if self._times is None or self.num_raised < self._times:
            self.num_raised += 1
            raise InjectedError(f"a fault at {self.place}, for the {self.num_raised}th time")


@contextmanager
def injected(fault: Fault, engine: Engine, culprit: StreamHandle) -> Iterator[None]:
    """Let the work of one stream fail while the block lasts.

    Args:
        fault: how.
        engine: whose forwards the stream shares with others.
        culprit: the stream.
    """
    stream, executor, place = culprit.stream, engine.executor, fault.place
    encoder, model = stream.memory.encoder, engine.model

    def prepare(frames: Sequence[Any]) -> Pixels:
        pixels = model.prepare(frames)
        if place == "prepare":
            fault.strike()
        return pixels

    def is_struck(request: Prepared | ForwardRequest) -> bool:
        if isinstance(request, Prepared):
            return place == "encode" and request.request.prepare is prepare
        return _is_of(stream, request) and place == ("decode" if request.wants_logits else "forward")

    with ExitStack() as patches:
        # the encoder is the stream's own, the executor is shared
        prepares = SimpleNamespace(model=SimpleNamespace(prepare=prepare, card=model.card))
        patches.enter_context(patch.object(encoder, "_executor", prepares))
        for name in ("_encode", "_forward"):
            struck = _struck_after(getattr(executor, name), fault, lambda batch: any(map(is_struck, batch)))
            patches.enter_context(patch.object(executor, name, struck))
        if place == "plan":
            struck = _struck_after(stream.memory._plan, fault, lambda _: True)
            patches.enter_context(patch.object(stream.memory, "_plan", struck))
        yield


def _is_of(stream: Stream, request: ForwardRequest) -> bool:
    retriever = stream.memory.retriever
    own = [stream.cache, *([retriever.workspace] if retriever else [])]
    return any(segment.cache is one for segment in request.segments for one in own)


def _struck_after(
    function: Callable[[Any], Any], fault: Fault, is_struck: Callable[[Any], bool]
) -> Callable[[Any], Any]:
    @wraps(function)
    def struck(argument: Any) -> Any:
        result = function(argument)
        if is_struck(argument):
            fault.strike()
        return result

    return struck
