"""What was measured of one stream, as plain numbers, the roofline beside them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

from hermes_lab.bench.roofline import Roofline
from hermes_lab.bench.timed_stream import TimedStream
from hermes_stream.stream.stats import Stage

Row = dict[str, Any]

_STAGES: tuple[Stage, ...] = ("preprocess", "encode", "prefill", "compress")


def latency_row(stream: TimedStream, streams: Sequence[TimedStream], roofline: Roofline) -> Row:
    """Summarize a stream that has been asked; what was not measured yet is None.

    Args:
        stream: at least one question is asked.
        streams: all of the run, itself included.
        roofline: of model and device.

    Returns:
        Medians, quartiles where the key says ``low`` or ``high``, and the roofline of each (``floor_``,
        ``ceiling_``):

        - ``num_frames``: observed before the first question; ``num_repeats``: questions asked then.
        - ``budget_tokens``: of each layer; of ``full`` and ``reprefill``, what the whole stream takes.
        - ``num_visual_tokens_kept``: that a question could read at most.
        - ``beyond_positions``: questions stood behind the positions that the model was made for. They are
          as fast; answers there would be poor.
        - ``ttft_over_64_frames``, ``ttft_over_hermes``: time to first token over that of the same policy at
          64 frames, and of ``hermes`` at this length, the median over rounds; None without it.
        - ``ttft_seconds``: from the question to the first token, with what the policy leaves for that moment.
        - ``ttft_from_arrival_seconds``: from the arrival of a frame, with the question right behind it.
        - ``ttft_from_full_chunk_seconds``: the median time of a whole chunk and ``ttft_seconds`` added.
        - ``seconds_per_token``: of an answer, after its first token.
        - ``ingest_fps``: frames per second from file to memory, one step after the other, and where that
          time goes, ``ingest_seconds_per_frame``: "decode" is None if nothing was decoded.
        - ``cache_bytes``, ``host_bytes``: of the stream's buffers; in host memory for questions to come.
        - ``peak_bytes``: on the device: the buffers, and the most that a chunk and a question add.
        - ``graph_pool_bytes``: that captured forwards of all streams of the run keep besides, used or not.
        - ``ceiling_ingest_fps``: what encoding and prefilling alone allow; None if frames are only stored.
    """
    session, stats, decode_seconds = stream.session, stream.session.stats, stream.workload.decode_seconds
    decode = decode_seconds or 0.0
    num_frames, seconds = (sum(column) for column in zip(*stream.chunk_seconds, strict=True))
    fast, usual, slow = _quartiles([seconds / count for count, seconds in stream.chunk_seconds])
    return {
        "policy": stream.policy,
        "num_frames": stream.num_frames,
        "budget_tokens": session.policy.budget_tokens,
        "chunk_frames": session.chunk_frames,
        "num_visual_tokens_kept": stats.num_visual_tokens_kept,
        "beyond_positions": stream.beyond_positions,
        "num_repeats": len(stream.ttft_seconds),
        "ttft_over_64_frames": _ttft_over(stream, stream.policy, 64, streams),
        "ttft_over_hermes": _ttft_over(stream, "hermes", stream.num_frames, streams),
        **_spread("ttft{}_seconds", stream.ttft_seconds),
        **_spread("ttft_from_arrival{}_seconds", stream.ttft_from_arrival_seconds),
        "ttft_from_full_chunk_seconds": session.chunk_frames * usual + median(stream.ttft_seconds),
        **_spread("seconds_per_token{}", stream.seconds_per_token),
        "ingest_fps": 1 / (decode + seconds / num_frames),
        "ingest_low_fps": 1 / (decode + slow),
        "ingest_high_fps": 1 / (decode + fast),
        "ingest_seconds_per_frame": {
            "decode": decode_seconds,
            **{stage: stream.stage_seconds.get(stage, 0.0) / num_frames for stage in _STAGES},
        },
        "cache_bytes": stats.cache_bytes,
        "host_bytes": stats.host_bytes,
        **({"peak_bytes": None, "graph_pool_bytes": None} | stream.peak),
        **_least(stream, roofline),
    }


def _quartiles(numbers: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile of at least one number."""
    return quantiles(numbers if len(numbers) > 1 else [*numbers, *numbers], n=4, method="inclusive")


def _spread(key: str, numbers: Sequence[float]) -> dict[str, float | None]:
    """Return median and quartiles of numbers, if any, the mark of a quartile filled into the key."""
    marks, found = ("_low", "", "_high"), _quartiles(numbers) if numbers else [None] * 3
    return {key.format(mark): number for mark, number in zip(marks, found, strict=True)}


def _least(stream: TimedStream, roofline: Roofline) -> dict[str, float | None]:
    """Return the roofline of a stream's times."""
    session, stats = stream.session, stream.session.stats
    num_visual, question_tokens = stats.num_visual_tokens_kept, stream.workload.question_tokens
    prefix = session.cache.num_prefix_tokens
    held, chunk = prefix + num_visual, None
    question = roofline.forward(question_tokens, held)
    if session.policy.rebuilds_at_question:
        from_arrival = question = question.plus(
            roofline.ingest(num_visual / roofline.tokens_per_picture, prefix)
        )
    else:
        from_arrival = question.plus(roofline.ingest(1, held))
        # A memory that forgets nothing was half as full in the mean over its chunks.
        mean_visual = num_visual / 2 if num_visual == stats.num_visual_tokens_seen else num_visual
        chunk = roofline.seconds(roofline.ingest(session.chunk_frames, prefix + mean_visual))
    return {
        "floor_ttft_seconds": roofline.seconds(question),
        "floor_ttft_from_arrival_seconds": roofline.seconds(from_arrival),
        "floor_seconds_per_token": roofline.seconds(roofline.forward(1, held + question_tokens)),
        "ceiling_ingest_fps": session.chunk_frames / chunk if chunk else None,
    }


def _ttft_over(
    stream: TimedStream, policy: str, num_frames: int, streams: Sequence[TimedStream]
) -> float | None:
    """Return the median over rounds of the time to first token over that of another stream."""
    for other in streams:
        if (other.policy, other.num_frames) == (policy, num_frames):
            # One of the two may have been asked in fewer rounds.
            rounds = zip(stream.ttft_seconds, other.ttft_seconds, strict=False)
            return median(own / its for own, its in rounds)
    return None
