"""The paper's investigation on any model: how questions attend to the video, by layer and by age.

Everything is read from a stream of which nothing was forgotten, and returned as plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hermes_lab.analysis.tier_proposal import TierProposal, propose_tiers
from hermes_stream.memory.state import MemoryState
from hermes_stream.stream import Session

NUM_BUCKETS = 24
_PERIODS = 3
_LEAST_FRAMES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBucket:
    """Frames of like age.

    Attributes:
        from_seconds: age of the newest of them, counted from the newest frame of all.
        until_seconds: age of the oldest.
        token_share: part of all visual tokens that is theirs.
    """

    from_seconds: float
    until_seconds: float
    token_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAttention:
    """How one layer attends to the video, mean over questions, their tokens and heads.

    Attributes:
        layer_idx: which layer, from 0.
        video_share: part of its attention that rests on visual tokens.
        recency_index: mean place of that attention in the stream: 0 is all on the oldest token, 0.5 is what
            even attention has, 1 is all on the newest.
        periodicity: how far the autocorrelation at whole frames stands above its surroundings; None where the
            stream has fewer than eight frames of one size.
        attention_by_age: part of the attention that each bucket has; sums to 1.
        autocorrelation: of the attention over tokens, at distances of 1, 2, ... tokens, up to three and a
            half frames.
    """

    layer_idx: int
    video_share: float
    recency_index: float
    periodicity: float | None
    attention_by_age: tuple[float, ...]
    autocorrelation: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionStudy:
    """How a model attends to one stream.

    Attributes:
        questions: what was asked, at the end of the stream.
        num_frames: frames of the stream.
        tokens_per_temporal_patch: visual tokens of a frame, the most frequent number.
        buckets: ages, newest first.
        layers: shallow to deep.
        proposal: where the boundaries of the tiers would lie by these numbers.
    """

    questions: tuple[str, ...]
    num_frames: int
    tokens_per_temporal_patch: int
    buckets: tuple[AgeBucket, ...]
    layers: tuple[LayerAttention, ...]
    proposal: TierProposal


def study_attention(
    session: Session, questions: Sequence[str], *, num_buckets: int = NUM_BUCKETS
) -> AttentionStudy:
    """Ask about a stream and measure what the questions attend to.

    Args:
        session: keeps everything, and has seen the stream.
        questions: at least one; each counts the same.
        num_buckets: ages to tell apart, at most.

    Raises:
        ValueError: the session forgets, or there is no question.
        VideoError: no frame was observed yet.
    """
    if session.policy.budget_tokens is not None:
        raise ValueError(
            f"the session keeps {session.policy.budget_tokens} tokens; attention is studied with all of "
            "them: make the session with FullPolicy()"
        )
    if not questions:
        raise ValueError("questions is empty; ask at least one")
    states = [session.read_attention(question, whole_question=True) for question in questions]
    return study_of(states, questions=questions, num_buckets=num_buckets)


def study_of(
    states: Sequence[MemoryState], *, questions: Sequence[str], num_buckets: int = NUM_BUCKETS
) -> AttentionStudy:
    """Measure attention that was read.

    Args:
        states: of the same memory, each with the attention of one question; all layers hold the same tokens.
        questions: in the same order.
        num_buckets: ages to tell apart, at most.
    """
    first = states[0]
    is_visual = (first.present & (first.counts > 0)).all(dim=0).cpu()
    visual = torch.stack([_attention(state)[:, is_visual] for state in states])
    video_shares = visual.sum(dim=2).mean(dim=0)
    profile = (visual / visual.sum(dim=2, keepdim=True).clamp(min=1e-30)).mean(dim=0)
    frames, seconds = first.temporal_patch_ids[0].cpu()[is_visual], first.pts_seconds[0].cpu()[is_visual]
    numbers, index, counts = frames.unique(return_inverse=True, return_counts=True)
    per_frame = int(counts.mode().values)
    bucket = _buckets(index, len(numbers), num_buckets)
    correlation = _autocorrelation(profile[:, (counts == per_frame)[index]], per_frame)
    recency = recency_index(profile)
    by_age = torch.zeros(len(profile), int(bucket.max()) + 1, dtype=profile.dtype)
    by_age.index_add_(1, bucket, profile)
    layers = tuple(
        LayerAttention(
            layer_idx=layer,
            video_share=float(video_shares[layer]),
            recency_index=float(recency[layer]),
            periodicity=periodicity(correlation[layer].tolist(), per_frame),
            attention_by_age=tuple(by_age[layer].tolist()),
            autocorrelation=tuple(correlation[layer].tolist()),
        )
        for layer in range(len(profile))
    )
    return AttentionStudy(
        questions=tuple(questions),
        num_frames=len(numbers),
        tokens_per_temporal_patch=per_frame,
        buckets=_described(bucket, seconds),
        layers=layers,
        proposal=propose_tiers(
            [layer.recency_index for layer in layers], [layer.periodicity for layer in layers]
        ),
    )


def _attention(state: MemoryState) -> Float[Tensor, "layers tokens"]:
    if state.attention is None:
        raise ValueError("state.attention is None; read it with Session.read_attention")
    return state.attention.double().cpu()


def recency_index(profile: Float[Tensor, "layers tokens"]) -> Float[Tensor, " layers"]:
    """Return the mean place of each layer's attention: 0 the oldest token, 1 the newest, 0.5 if even.

    Args:
        profile: attention over tokens, oldest first; rows sum to 1.
    """
    num_tokens = profile.shape[1]
    place = torch.arange(num_tokens, dtype=profile.dtype) / max(num_tokens - 1, 1)
    return profile @ place


def _buckets(
    temporal_patch_index: Int[Tensor, " tokens"], num_frames: int, num_buckets: int
) -> Int[Tensor, " tokens"]:
    """Put frames into buckets of equally many, the newest first; only the oldest bucket may have fewer."""
    each = -(-num_frames // num_buckets)
    return (num_frames - 1 - temporal_patch_index) // each


def _described(bucket: Int[Tensor, " tokens"], seconds: Float[Tensor, " tokens"]) -> tuple[AgeBucket, ...]:
    ages = seconds.max() - seconds
    described = []
    for one in range(int(bucket.max()) + 1):
        own: Bool[Tensor, " tokens"] = bucket == one
        described.append(
            AgeBucket(
                from_seconds=float(ages[own].min()),
                until_seconds=float(ages[own].max()),
                token_share=float(own.double().mean()),
            )
        )
    return tuple(described)


def _autocorrelation(
    profile: Float[Tensor, "layers tokens"], tokens_per_temporal_patch: int
) -> Float[Tensor, "layers lags"]:
    """Return each layer's autocorrelation at lags up to three and a half frames; none for a short stream."""
    num_tokens, lags = profile.shape[1], _PERIODS * tokens_per_temporal_patch + tokens_per_temporal_patch // 2
    if num_tokens < _LEAST_FRAMES * tokens_per_temporal_patch:
        return profile.new_zeros(len(profile), 0)
    centred = profile - profile.mean(dim=1, keepdim=True)
    power = centred.square().sum(dim=1).clamp(min=1e-30)
    rows = [(centred[:, :-lag] * centred[:, lag:]).sum(dim=1) / power for lag in range(1, lags + 1)]
    return torch.stack(rows, dim=1)


def periodicity(autocorrelation: Sequence[float], tokens_per_temporal_patch: int) -> float | None:
    """Return how far the autocorrelation at whole frames stands above its surroundings.

    At one, two and three frames, the median over distances up to half a frame around is taken away; the
    least of the three counts. Anchor tokens, which stand at one place of every frame, make it large;
    attention to whole frames does not, and a thing that rests for a moment makes the first large alone.

    Args:
        autocorrelation: at distances of 1, 2, ... tokens; empty is unknown.
        tokens_per_temporal_patch: visual tokens of a frame.

    Returns:
        The difference, at most 2; None where it cannot be told.
    """
    half = tokens_per_temporal_patch // 2
    if not half or not autocorrelation:
        return None
    peaks = []
    for frames in range(1, _PERIODS + 1):
        lag = frames * tokens_per_temporal_patch
        around = [autocorrelation[k - 1] for k in range(lag - half, lag + half + 1) if k != lag]
        peaks.append(autocorrelation[lag - 1] - median(around))
    return min(peaks)
