"""Serves what streams ask for: one look for all pictures of one shape, one forward for all segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hermes_stream.attention import forward
from hermes_stream.cache import StreamCache
from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, joined_pixels
from hermes_stream.stream.graphs import TextGraphs
from hermes_stream.stream.requests import Look, Read, Request
from hermes_stream.stream.stages import Stage, StageClock


class Executor:
    """Runs a model for one stream or for many. It knows nothing of streams.

    Args:
        model: a loaded model.
        stages: is told what each stage takes; None measures nothing.
        graphs: forwards of fixed shape for text that comes alone; None has none.
    """

    def __init__(
        self, model: VideoModel, *, stages: StageClock | None = None, graphs: TextGraphs | None = None
    ) -> None:
        self.model = model
        self._stages, self._graphs = stages, graphs

    @classmethod
    def for_one_stream(cls, model: VideoModel, *, stages: StageClock | None = None) -> Executor:
        """Return one that captures CUDA graphs where there is a GPU."""
        layout = model.layout
        captures = layout.device.type == "cuda" and not layout.layer_devices
        return cls(model, stages=stages, graphs=TextGraphs(model, captures=True) if captures else None)

    def prepare(self, cache: StreamCache) -> None:
        """Do what would otherwise be done at a new stream's first question."""
        if self._graphs:
            self._graphs.prepare(cache)

    def timing(self, stage: Stage) -> AbstractContextManager[None]:
        """Count what happens inside, if anybody wants to know."""
        return self._stages.timing(stage) if self._stages else nullcontext()

    def serve(self, requests: Sequence[Request]) -> list[Features | Tensor | None]:
        """Return the result of each request, in the order given.

        Args:
            requests: at least one, no two of which append to the same stream.
        """
        results: list[Features | Tensor | None] = [None] * len(requests)
        looks: dict[tuple[int, ...], list[tuple[int, Look]]] = defaultdict(list)
        for index, request in enumerate(requests):
            if isinstance(request, Look):
                looks[request.pixels.frame_shape].append((index, request))
        for alike in looks.values():
            for (index, _), features in zip(alike, self._look([one for _, one in alike]), strict=True):
                results[index] = features
        for advances in (True, False):
            reads = [
                (index, one)
                for index, one in enumerate(requests)
                if isinstance(one, Read) and one.advances == advances
            ]
            if reads:
                with nullcontext() if advances else _standing_still(self.model.decoder):
                    logits = self._read([one for _, one in reads])
                for (index, _), own in zip(reads, logits, strict=True):
                    results[index] = own
        return results

    def _look(self, looks: Sequence[Look]) -> list[Features]:
        with self.timing("encode"):
            features = self.model.look(joined_pixels([look.pixels for look in looks]))
            return features.split([look.pixels.grid[0] for look in looks])

    def _read(self, reads: Sequence[Read]) -> list[Tensor | None]:
        with self.timing(reads[0].stage):
            if self._graphs and len(reads) == len(reads[0].segments) == 1 and reads[0].speaks:
                fixed = self._graphs.logits(reads[0].segments[0])
                if fixed is not None:
                    return [fixed]
            hidden = iter(forward(self.model.decoder, [one for read in reads for one in read.segments]))
            last = [[next(hidden) for _ in read.segments][-1][-1] for read in reads]
            speaking = [state for state, read in zip(last, reads, strict=True) if read.speaks]
            logits = iter(self.model.logits(torch.stack(speaking)) if speaking else ())
            return [next(logits) if read.speaks else None for read in reads]


@contextmanager
def _standing_still(decoder: nn.Module) -> Iterator[None]:
    """Let every layer of the next forward read what the first one reads."""
    first: list[Tensor] = []

    def read_first(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        first.append(args[0])
        return (first[0], *args[1:]), kwargs

    layers: Iterable[nn.Module] = decoder.layers  # type: ignore[assignment]
    hooks = [layer.register_forward_pre_hook(read_first, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
