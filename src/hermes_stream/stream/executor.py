"""Serves what streams ask for: one encode for all frames of one shape, one forward for segments together."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from hermes_stream.attention import forward
from hermes_stream.blocks import BufferBlocks
from hermes_stream.cache import StreamCache
from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, Pixels, joined_pixels
from hermes_stream.stream.embedding_reader import read_embeddings
from hermes_stream.stream.graphs import TextGraphs, text_graphs
from hermes_stream.stream.next_tokens import NextToken, NextTokens
from hermes_stream.stream.stats import Stage, StageClock
from hermes_stream.stream.vision_graphs import VisionGraphs
from hermes_stream.stream.work import EncodeRequest, ForwardRequest, Outcome, Request, Result, Work

log = logging.getLogger(__name__)
_FORWARD_TOKENS = 2048  # what a forward takes grows with them, and more do not keep a device busier
One = TypeVar("One")


@dataclass(frozen=True, slots=True)
class Failure:
    """What one request failed with, when it was served beside others."""

    error: Exception


class Unprepared(Exception):  # noqa: N818 - tells of an error, and is none of its own
    """Frames of one request cannot be prepared; nothing was done for others.

    Args:
        request: whose frames they are.
        error: why.
    """

    def __init__(self, request: EncodeRequest, error: Exception) -> None:
        super().__init__(str(error))
        self.request, self.error = request, error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A request to encode frames, and the pixels that were made of them."""

    request: EncodeRequest
    pixels: Pixels


class Executor:
    """Runs a model for one stream or for many. It knows nothing of streams.

    Args:
        model: a loaded model.
        stages: adds up what each stage takes; None measures nothing.
        graphs: forwards of fixed shape for text; None has none.
        blocks: where buffers of several streams lie together; None gives each stream its own.

    Attributes:
        model: the model.
        blocks: where buffers of several streams lie together.
        stages: adds up what each stage takes; may be changed at any time.
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        stages: StageClock | None = None,
        graphs: TextGraphs | None = None,
        blocks: BufferBlocks | None = None,
    ) -> None:
        self.model, self.blocks = model, blocks
        self.stages, self._graphs = stages, graphs
        device = model.layout.device
        self._side_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._vision = VisionGraphs(model) if graphs and device.type == "cuda" else None

    @classmethod
    def for_one_stream(cls, model: VideoModel, *, stages: StageClock | None = None) -> Executor:
        """Return one that captures CUDA graphs where there is a GPU."""
        return cls(model, stages=stages, graphs=text_graphs(model), blocks=BufferBlocks(1))

    def prepare(self, cache: StreamCache) -> None:
        """Do what would otherwise be done at a new stream's first question."""
        if self._graphs:
            self._graphs.prepare(cache)

    def timing(self, stage: Stage) -> AbstractContextManager[None]:
        """Count what happens inside as part of a stage, where stages are measured."""
        return self.stages.timing({stage: 1}) if self.stages else nullcontext()

    def run(self, work: Work[Result]) -> Result:
        """Do a piece of work to its end, alone."""
        running = RunningWork(self, work)
        while running.step():
            pass
        result: Result = running.result
        return result

    def serve(self, requests: Sequence[Request]) -> list[Outcome]:
        """Return the result of each request, in the order given. A GPU encodes and reads at the same time.

        Args:
            requests: at least one, no two of which append to the same stream.

        Raises:
            Unprepared: the first of those whose frames cannot be prepared.
        """
        encodes = [one for one in requests if isinstance(one, EncodeRequest)]
        forwards = [one for one in requests if isinstance(one, ForwardRequest)]
        results: dict[Request, Outcome] = {}
        # not on the side stream: what is made once for all pictures would be read on either
        prepared = [Prepared(request=one, pixels=self._prepare(one)) for one in encodes]
        try:
            with self._on_side_stream(beside_forwards=bool(forwards)):
                for batch in _alike(prepared, lambda one: one.pixels.patch_shape):
                    results |= zip([one.request for one in batch], self._encode(batch), strict=True)
            results.update(self._replay(forwards).items())
            left = [one for one in forwards if one not in results]
            for same_depth in _alike(left, lambda one: one.advances):
                for fitting in _fitting(same_depth):
                    results |= zip(fitting, self._forward(fitting), strict=True)
        finally:
            self._rejoin(results.values())
        return [results[one] for one in requests]

    def serve_apart(self, requests: Sequence[Request]) -> list[Outcome | Failure]:
        """Return the result of each request, or what it failed with; see ``serve``.

        Requests are served together. Where that fails they are served one by one, so that a request which
        cannot be served fails alone, and the others get what they would get without it.
        """
        try:
            return list(self.serve(requests))
        except Unprepared as failed:  # at once, so that the others need not be served one by one
            rest = [one for one in requests if one is not failed.request]
            served = iter(self.serve_apart(rest) if rest else [])
            return [Failure(failed.error) if one is failed.request else next(served) for one in requests]
        except BaseException as error:
            for one in requests:  # they are served again, also where the user interrupts
                if isinstance(one, ForwardRequest):
                    one.clear_weights()
            if not isinstance(error, Exception):
                raise
            if len(requests) == 1:
                return [Failure(error)]
            log.info("%d requests failed together, and are served apart: %s", len(requests), error)
        return [outcome for one in requests for outcome in self.serve_apart([one])]

    @contextmanager
    def _on_side_stream(self, *, beside_forwards: bool) -> Iterator[None]:
        """Let a GPU do what is asked of it here beside what is asked of it next."""
        if self._side_stream is None or not beside_forwards:
            yield
            return
        self._side_stream.wait_stream(torch.cuda.current_stream(self.model.layout.device))
        with torch.cuda.stream(self._side_stream):
            yield

    def _rejoin(self, results: Iterable[Outcome]) -> None:
        """Let what comes next wait for what was done on the side stream."""
        if self._side_stream is None:
            return
        current = torch.cuda.current_stream(self.model.layout.device)
        current.wait_stream(self._side_stream)
        for features in results:
            if isinstance(features, Features):
                # memory of another CUDA stream would be reused while this one still reads it
                features.tokens.record_stream(current)
                if features.deepstack is not None:
                    features.deepstack.record_stream(current)

    def _prepare(self, request: EncodeRequest) -> Pixels:
        with self.timing("preprocess"):
            try:
                return request.prepare(request.frames)
            except Exception as error:
                raise Unprepared(request, error) from error

    def _encode(self, prepared: Sequence[Prepared]) -> list[Features]:
        """Encode the frames of all requests at once; they are of one shape."""
        with self.timing("encode"):
            pixels = joined_pixels([one.pixels for one in prepared])
            features = (self._vision.encode if self._vision else self.model.encode_in_parts)(pixels)
            return features.split([one.pixels.grid[0] for one in prepared])

    def _forward(self, requests: Sequence[ForwardRequest]) -> list[NextToken | Tensor | None]:
        """Run the segments of all requests through the decoder at once; all of them advance, or none."""
        decoder, segments = self.model.decoder, [part for one in requests for part in one.segments]
        with self._timing_by_tokens(requests):
            if not requests[0].advances:
                read_embeddings(decoder, segments)
                return [None] * len(requests)
            if not any(one.wants_logits for one in requests):
                forward(decoder, segments, wants_hidden=False)
                return [None] * len(requests)
            hidden = iter(forward(decoder, segments))
            last = {one: [next(hidden) for _ in one.segments][-1] for one in requests}
            texts = [one for one in requests if one.wants_logits and one.places is None]
            places = {
                one: list(one.places) for one in requests if one.wants_logits and one.places is not None
            }
            wanted = [last[one][-1:] for one in texts]
            wanted += [last[one][numbers] for one, numbers in places.items()]
            parts = self.model.logits(torch.cat(wanted)).split([len(texts), *map(len, places.values())])
            results: dict[ForwardRequest, NextToken | Tensor] = dict(zip(places, parts[1:], strict=True))
            results |= zip(texts, NextTokens(self.model, parts[:1]).of_texts(), strict=True)
            return [results.get(one) for one in requests]

    def _replay(self, requests: Sequence[ForwardRequest]) -> dict[ForwardRequest, NextToken]:
        """Serve texts by forwards of fixed shape, as far as those have room."""
        texts = [one for one in requests if one.wants_logits]
        if self._graphs is None or not texts:
            return {}
        with self._timing_by_tokens(texts):
            return self._graphs.serve(texts)

    def _timing_by_tokens(self, requests: Sequence[ForwardRequest]) -> AbstractContextManager[None]:
        """Divide what a forward takes among its requests' stages, by tokens."""
        if self.stages is None:
            return nullcontext()
        tokens: Counter[Stage] = Counter()
        for one in requests:
            for segment in one.segments:
                stage = one.stage if segment.probe is None else "compress"
                tokens[stage] += len(segment.embeddings)
        return self.stages.timing(tokens)


class RunningWork:
    """One piece of work, done a request at a time.

    Args:
        executor: serves the requests.
        work: not begun yet.

    Attributes:
        result: what the work returned; None until then.
    """

    def __init__(self, executor: Executor, work: Work[Any]) -> None:
        self._executor, self._work = executor, work
        self._request: Request | None = None
        self._is_done = False
        self.result: Any = None

    @torch.inference_mode()
    def step(self) -> bool:
        """Serve the next request and go on to the one after; False when there is none.

        An error of the forward is raised inside the work first, so that it can clean up.
        """
        if self._is_done:
            return False
        try:
            if self._request is None:
                self._request = next(self._work)
                return True
            try:
                (result,) = self._executor.serve([self._request])
            except Unprepared as failed:
                self._request = self._work.throw(failed.error)
            except BaseException as error:
                self._request = self._work.throw(error)
            else:
                self._request = self._work.send(result)
        except StopIteration as end:
            self._is_done, self.result = True, end.value
        except BaseException:
            self.close()  # Ctrl-C may have come beside the work, which then still stands where it was
            raise
        return not self._is_done

    def close(self) -> None:
        """Abandon what is left."""
        self._is_done = True
        self._work.close()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a device, or the host, had no memory; torch says so in several ways."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def _alike(requests: Iterable[One], key: Callable[[One], Hashable]) -> Iterable[list[One]]:
    """Divide requests into those that can be served together, in order of their first."""
    batches: dict[Hashable, list[One]] = defaultdict(list)
    for one in requests:
        batches[key(one)].append(one)
    return batches.values()


def _fitting(requests: Iterable[ForwardRequest]) -> Iterator[list[ForwardRequest]]:
    """Divide requests into those that one forward reads; one of more tokens is alone."""
    batch, count = list[ForwardRequest](), 0
    for one in requests:
        if batch and count + one.num_tokens > _FORWARD_TOKENS:
            yield batch
            batch, count = [], 0
        batch.append(one)
        count += one.num_tokens
    if batch:
        yield batch
