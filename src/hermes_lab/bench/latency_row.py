"""What was measured of one stream, as plain numbers, the floor beside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from hermes_lab.bench.fixed_question import Asking
from hermes_lab.bench.generated_frames import Footage
from hermes_lab.bench.roofline import DeviceSpeed, ModelCost, Work
from hermes_lab.bench.timed_stream import Lane, Spread
from hermes_stream.stream.stats import Stage

_STAGES: tuple[Stage, ...] = ("preprocess", "encode", "prefill", "compress")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """One memory at one length of stream. Times are medians, ``low`` and ``high`` their quartiles.

    Attributes:
        policy: name of the memory.
        num_frames: pictures watched before the first question.
        budget_tokens: visual tokens that each layer keeps; of ``full`` and ``reprefill``, the whole stream's.
        chunk_frames: pictures that entered together in fact.
        num_visual_tokens_kept: that a question could read at most.
        beyond_positions: questions stood behind the positions that the model was made for. Speed does not
            depend on it; answers there would be poor.
        num_repeats: questions behind ``ttft_seconds``.
        ttft_over_64_frames: time to first token over that of the same memory at 64 frames, the median over
            rounds, in which both were asked one right after the other; None without it.
        ttft_over_hermes: over that of ``hermes`` at the same length, the median over rounds.
        ttft_seconds: from the question to the first token, everything folded in; what a policy leaves for the
            question's moment is part of it.
        ttft_from_arrival_seconds: from the arrival of a last frame, with the question right behind it, to the
            first token: that one frame is preprocessed, encoded, prefilled, and the memory compressed.
        ttft_from_full_chunk_seconds: the same where that frame is the last of a whole chunk: the median time
            of a chunk and ``ttft_seconds`` added.
        seconds_per_token: of an answer, after its first token.
        ingest_fps: pictures per second from file to memory, one step after the other.
        ingest_low_fps: the same from the slow quartile of chunks.
        ingest_high_fps: the same from the fast quartile of chunks.
        ingest_seconds_per_frame: where that time goes: "decode" (None where nothing was decoded),
            "preprocess", "encode", "prefill", "compress".
        cache_bytes: buffers of the stream.
        host_bytes: host memory held for questions to come.
        peak_bytes: buffers, and the most that a chunk and a question take beside them; on the device.
        floor_ttft_seconds: least time of ``ttft_seconds`` on this device.
        floor_ttft_from_arrival_seconds: least time of ``ttft_from_arrival_seconds``.
        floor_seconds_per_token: least time of ``seconds_per_token``.
        ceiling_ingest_fps: pictures per second that encoding and prefilling alone allow; None where pictures
            are only put by.
    """

    policy: str
    num_frames: int
    budget_tokens: int | None
    chunk_frames: int
    num_visual_tokens_kept: int
    beyond_positions: bool
    num_repeats: int
    ttft_over_64_frames: float | None
    ttft_over_hermes: float | None
    ttft_seconds: float
    ttft_low_seconds: float
    ttft_high_seconds: float
    ttft_from_arrival_seconds: float
    ttft_from_arrival_low_seconds: float
    ttft_from_arrival_high_seconds: float
    ttft_from_full_chunk_seconds: float
    seconds_per_token: float
    seconds_per_token_low: float
    seconds_per_token_high: float
    ingest_fps: float
    ingest_low_fps: float
    ingest_high_fps: float
    ingest_seconds_per_frame: dict[str, float | None]
    cache_bytes: int
    host_bytes: int
    peak_bytes: int
    floor_ttft_seconds: float
    floor_ttft_from_arrival_seconds: float
    floor_seconds_per_token: float
    ceiling_ingest_fps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Floors:
    """Least work of one stream."""

    question: Work
    from_arrival: Work
    token: Work
    chunk: Work | None

    @classmethod
    def of(cls, lane: Lane, cost: ModelCost, asking: Asking) -> _Floors:
        stats, cache = lane.session.stats, lane.session.cache
        prefix, visual = cache.num_prefix_tokens, stats.num_visual_tokens_kept
        question = cost.forward(asking.num_tokens, prefix + visual)
        token = cost.forward(1, prefix + visual + asking.num_tokens)
        if lane.session.policy.rebuilds_at_question:
            question += cost.watch(visual / cost.tokens_per_picture, prefix)
            return cls(question=question, from_arrival=question, token=token, chunk=None)
        mean_held = visual / 2 if visual == stats.num_visual_tokens_seen else visual
        return cls(
            question=question,
            from_arrival=question + cost.watch(1, prefix + visual),
            token=token,
            chunk=cost.watch(lane.session.chunk_frames, prefix + mean_held),
        )


def row_of(
    lane: Lane,
    lanes: Sequence[Lane],
    *,
    cost: ModelCost,
    speed: DeviceSpeed,
    asking: Asking,
    footage: Footage,
) -> LatencyRow:
    """Sum up a lane that has watched and was asked; its memory is measured here.

    Args:
        lane: all its questions are asked.
        lanes: all of the run, itself included.
        cost: of the model's work.
        speed: of its device.
        asking: what it was asked.
        footage: what it watched.
    """
    session, stats = lane.session, lane.session.stats
    floors = _Floors.of(lane, cost, asking)
    ttft, arrival, token = (Spread.of(own) for own in (lane.ttft, lane.from_arrival, lane.per_token))
    per_frame = Spread.of([seconds / count for count, seconds in lane.chunk_seconds])
    decode = footage.decode_seconds or 0.0
    frames, seconds = (sum(column) for column in zip(*lane.chunk_seconds, strict=True))
    return LatencyRow(
        policy=lane.policy,
        num_frames=lane.num_frames,
        budget_tokens=session.policy.budget_tokens,
        chunk_frames=session.chunk_frames,
        num_visual_tokens_kept=stats.num_visual_tokens_kept,
        beyond_positions=lane.is_beyond_positions,
        num_repeats=len(lane.ttft),
        ttft_over_64_frames=_over(lane, lane.policy, 64, lanes),
        ttft_over_hermes=_over(lane, "hermes", lane.num_frames, lanes),
        ttft_seconds=ttft.middle,
        ttft_low_seconds=ttft.low,
        ttft_high_seconds=ttft.high,
        ttft_from_arrival_seconds=arrival.middle,
        ttft_from_arrival_low_seconds=arrival.low,
        ttft_from_arrival_high_seconds=arrival.high,
        ttft_from_full_chunk_seconds=per_frame.middle * session.chunk_frames + ttft.middle,
        seconds_per_token=token.middle,
        seconds_per_token_low=token.low,
        seconds_per_token_high=token.high,
        ingest_fps=1 / (decode + seconds / frames),
        ingest_low_fps=1 / (decode + per_frame.high),
        ingest_high_fps=1 / (decode + per_frame.low),
        ingest_seconds_per_frame={"decode": footage.decode_seconds}
        | {stage: lane.stage_seconds.get(stage, 0.0) / frames for stage in _STAGES},
        cache_bytes=stats.cache_bytes,
        host_bytes=stats.host_bytes,
        peak_bytes=lane.measure_peak(),
        floor_ttft_seconds=floors.question.seconds(speed),
        floor_ttft_from_arrival_seconds=floors.from_arrival.seconds(speed),
        floor_seconds_per_token=floors.token.seconds(speed),
        ceiling_ingest_fps=None
        if floors.chunk is None
        else session.chunk_frames / floors.chunk.seconds(speed),
    )


def _over(lane: Lane, policy: str, num_frames: int, lanes: Sequence[Lane]) -> float | None:
    """Return the median over rounds of a lane's time to first token over that of another."""
    for other in lanes:
        if (other.policy, other.num_frames) == (policy, num_frames):
            return median(own / its for own, its in zip(lane.ttft, other.ttft, strict=False))
    return None
