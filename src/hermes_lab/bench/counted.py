"""Count the kernels, bytes and waits of a chunk and of a token, stream by stream; no clock is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from torch import Tensor

from hermes_lab.bench.operation_count import OperationCount
from hermes_lab.bench.workload import Workload, max_text_tokens
from hermes_stream.masks import forget_masks
from hermes_stream.memory.constants import constant
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.window import WindowPolicy
from hermes_stream.stream import Engine, Session
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.stats import Stage, StageClock

_CHUNKS_OVER_BUDGET = 2


@final
class StageCount(StageClock):
    """Gives each stage the kernels that it launches, where a clock would give it seconds.

    Args:
        count: what is entered while streams run.

    Attributes:
        kernels: of each stage so far.
        num_bytes: that its kernels read and write.
    """

    def __init__(self, count: OperationCount) -> None:
        super().__init__()
        self._count = count
        self.kernels: Counter[Stage] = Counter()
        self.num_bytes: Counter[Stage] = Counter()

    @contextmanager
    def timing(self, weights: Mapping[Stage, float]) -> Iterator[None]:
        """Count what happens inside; a forward that a chunk shares with guidance is prefill."""
        before, bytes_before = self._count.num_kernels, self._count.num_bytes
        try:
            yield
        finally:
            stage = "prefill" if "prefill" in weights else next(iter(weights))
            self.kernels[stage] += self._count.num_kernels - before
            self.num_bytes[stage] += self._count.num_bytes - bytes_before


def count_run(
    model: VideoModel,
    policy: MemoryPolicy,
    workload: Workload,
    *,
    chunk_frames: int,
    kv_bits: int | None = None,
) -> dict[str, Any]:
    """Let a stream watch until it forgets, then count one more chunk, and one token of an answer.

    Args:
        model: from ``without_stop_tokens``.
        policy: with a budget.
        workload: what the stream observes and is asked.
        chunk_frames: frames that enter the memory together.
        kv_bits: 8 keeps keys and values in 8 bits.

    Returns:
        Whole numbers: ``kernels_per_chunk``, ``bytes_per_chunk``, ``syncs_per_chunk``, ``launches_per_token``
        and, by name, ``kernels_by_stage``, ``bytes_by_stage`` and ``syncs_by_call``.
    """
    constant.cache_clear()  # so that a run counts the same, whatever ran before it
    count = OperationCount(_weights(model))
    stages = StageCount(count)
    session = Session(
        model,
        policy,
        chunk_frames=chunk_frames,
        text_tokens=max_text_tokens(model),
        executor=Executor(model, stages=stages),
        kv_bits=kv_bits,
    )
    cache = session.cache
    count.put([*cache.tensors, *cache.records.values()])
    frames = _Frames(session, workload)
    with count:
        while session.stats.num_compressions < _CHUNKS_OVER_BUDGET:
            frames.fold(session.chunk_frames)
        count.clear()
        stages.kernels.clear()
        stages.num_bytes.clear()
        forget_masks()
        frames.fold(session.chunk_frames)
        row = {
            "chunk_frames": session.chunk_frames,
            "kernels_per_chunk": count.num_kernels,
            "bytes_per_chunk": count.num_bytes,
            "syncs_per_chunk": count.num_waits,
            "kernels_by_stage": dict(stages.kernels),
            "bytes_by_stage": dict(stages.num_bytes),
            "syncs_by_call": dict(count.waits),
        }
        launches = [_launches(session, workload, count, num_tokens) for num_tokens in (2, 3)]
    return row | {"launches_per_token": launches[1] - launches[0]}


def count_tokens(model: VideoModel, workload: Workload, *, num_streams: int) -> dict[str, int]:
    """Count what an engine asks of a device for one token of the answers of many streams, beside the forward.

    Args:
        model: from ``without_stop_tokens``.
        workload: what all streams observe and are asked.
        num_streams: how many answer at once.

    Returns:
        ``kernels_beside_forward``, where no forward is captured, and ``syncs``, of all streams together.
    """
    engine = Engine(model)
    handles = [engine.add(WindowPolicy(budget_tokens=36), chunk_frames=4) for _ in range(num_streams)]
    for handle in handles:
        handle.observe(workload.frames(0, 8))
    engine.run()
    found = []
    for num_tokens in (2, 3):
        count = OperationCount(_weights(model))
        for handle in handles:
            count.put([*handle.stream.cache.tensors, *handle.stream.cache.records.values()])
        stages = engine.executor.stages = StageCount(count)
        with count:
            for handle in handles:
                handle.ask(workload.question, max_new_tokens=num_tokens)
            engine.run()
        found.append((count.num_kernels - stages.kernels.total(), count.num_waits))
    kernels, syncs = (more - less for less, more in zip(*found, strict=True))
    return {"num_streams": num_streams, "kernels_beside_forward": kernels, "syncs": syncs}


def _launches(session: Session, workload: Workload, count: OperationCount, num_tokens: int) -> int:
    count.clear()
    session.ask(workload.question, max_new_tokens=num_tokens).text  # noqa: B018 - reads the answer to its end
    return count.num_kernels


@final
class _Frames:
    """The frames of a workload, one chunk after the other."""

    def __init__(self, session: Session, workload: Workload) -> None:
        self._session, self._workload, self._num_shown = session, workload, 0

    def fold(self, num_frames: int) -> None:
        """Show the next frames, and let them enter the memory."""
        self._session.observe(self._workload.frames(self._num_shown, num_frames))
        self._session.flush()
        self._num_shown += num_frames


def _weights(model: VideoModel) -> Iterator[Tensor]:
    """Yield what a model holds on its device."""
    for part in (model.vision, model.decoder, model.head):
        yield from part.parameters()
        yield from part.buffers()
    yield from (model.video_end, model.layout.rotary.inv_freq, model.layout.rotary.axis_of_frequency)
