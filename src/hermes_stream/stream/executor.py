"""Serves what streams ask for: one look for all pictures of one shape, one forward for all segments."""

from __future__ import annotations

from collections import Counter, defaultdict
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
from hermes_stream.stream.requests import EncodeRequest, ForwardRequest, Request
from hermes_stream.stream.stages import Stage, StageClock


class Executor:
    """Runs a model for one stream or for many. It knows nothing of streams.

    Args:
        model: a loaded model.
        stages: is told what each stage takes; None measures nothing.
        graphs: forwards of fixed shape for text that comes alone; None has none.

    Attributes:
        model: the model.
        stages: is told what each stage takes; may be changed at any time.
    """

    def __init__(
        self, model: VideoModel, *, stages: StageClock | None = None, graphs: TextGraphs | None = None
    ) -> None:
        self.model = model
        self.stages, self._graphs = stages, graphs
        device = model.layout.device
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None

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
        return self.stages.timing({stage: 1}) if self.stages else nullcontext()

    def serve(self, requests: Sequence[Request]) -> list[Features | Tensor | None]:
        """Return the result of each request, in the order given. A GPU looks and reads at the same time.

        Args:
            requests: at least one, no two of which append to the same stream.
        """
        results: list[Features | Tensor | None] = [None] * len(requests)
        alike: dict[object, list[int]] = defaultdict(list)
        for index, one in enumerate(requests):
            alike[one.pixels.patch_shape if isinstance(one, EncodeRequest) else one.advances].append(index)
        with self._aside(beside_reads=any(isinstance(one, ForwardRequest) for one in requests)):
            for indices in alike.values():
                looks = [one for index in indices if isinstance(one := requests[index], EncodeRequest)]
                for index, features in zip(indices, self._look(looks) if looks else (), strict=False):
                    results[index] = features
        for indices in alike.values():
            reads = [one for index in indices if isinstance(one := requests[index], ForwardRequest)]
            for index, logits in zip(indices, self._read(reads) if reads else (), strict=False):
                results[index] = logits
        self._rejoin(results)
        return results

    @contextmanager
    def _aside(self, *, beside_reads: bool) -> Iterator[None]:
        """Let a GPU do what is asked of it here beside what is asked of it next."""
        if self._side is None or not beside_reads:
            yield
            return
        self._side.wait_stream(torch.cuda.current_stream(self.model.layout.device))
        with torch.cuda.stream(self._side):
            yield

    def _rejoin(self, results: Sequence[Features | Tensor | None]) -> None:
        """Let what comes next wait for what was done aside."""
        if self._side is None:
            return
        current = torch.cuda.current_stream(self.model.layout.device)
        current.wait_stream(self._side)
        for features in results:
            if isinstance(features, Features):
                features.tokens.record_stream(current)
                if features.deepstack is not None:
                    features.deepstack.record_stream(current)

    def _look(self, looks: Sequence[EncodeRequest]) -> list[Features]:
        with self.timing("encode"):
            features = self.model.encode(joined_pixels([look.pixels for look in looks]))
            return features.split([look.pixels.grid[0] for look in looks])

    def _read(self, reads: Sequence[ForwardRequest]) -> list[Tensor | None]:
        tokens: Counter[Stage] = Counter()
        for read in reads:
            tokens[read.stage] += read.num_tokens
        timing = self.stages.timing(tokens) if self.stages else nullcontext()
        still = nullcontext() if reads[0].advances else _standing_still(self.model.decoder)
        with timing, still:
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
