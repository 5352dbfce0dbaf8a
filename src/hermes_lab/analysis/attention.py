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
_MIN_PATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBucket:
    """Temporal patches of like age.

    Attributes:
        from_seconds: age of the newest of them, counted from the newest of all.
        until_seconds: age of the oldest.
        token_share: their part of all visual tokens.
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
        recency_index: where that attention lies in the stream, on average: 0 is all on the oldest token, 0.5
            is what even attention has, 1 is all on the newest.
        periodicity: how far the autocorrelation at whole temporal patches stands above its surroundings; None
            if the stream has fewer than eight of one size.
        attention_by_age: part of the attention that each bucket has; sums to 1.
        autocorrelation: of the attention over tokens, at distances of 1, 2, ... tokens, up to three and a
            half temporal patches.
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
        num_temporal_patches: temporal patches of the stream.
        tokens_per_temporal_patch: visual tokens of one, the most frequent number.
        buckets: ages, newest first.
        layers: shallow to deep.
        proposal: where the boundaries of the tiers would lie by these numbers.
    """

    questions: tuple[str, ...]
    num_temporal_patches: int
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
        num_buckets: at most so many ages are distinguished.

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
        num_buckets: at most so many ages are distinguished.
    """
    first = states[0]
    is_visual = (first.present & (first.counts > 0)).all(dim=0).cpu()
    visual = torch.stack([_attention(state)[:, is_visual] for state in states])
    video_shares = visual.sum(dim=2).mean(dim=0)
    profile = (visual / visual.sum(dim=2, keepdim=True).clamp(min=1e-30)).mean(dim=0)
    patch_ids, seconds = first.temporal_patch_ids[0].cpu()[is_visual], first.pts_seconds[0].cpu()[is_visual]
    patches, index, counts = patch_ids.unique(return_inverse=True, return_counts=True)
    per_patch = int(counts.mode().values)
    bucket = _buckets(index, len(patches), num_buckets)
    # patches of another size would shift all that come after them
    correlation = _autocorrelation(profile[:, (counts == per_patch)[index]], per_patch)
    recency = recency_index(profile)
    by_age = torch.zeros(len(profile), int(bucket.max()) + 1, dtype=profile.dtype)
    by_age.index_add_(1, bucket, profile)
    layers = tuple(
        LayerAttention(
            layer_idx=layer,
            video_share=float(video_shares[layer]),
            recency_index=float(recency[layer]),
            periodicity=periodicity(correlation[layer].tolist(), per_patch),
            attention_by_age=tuple(by_age[layer].tolist()),
            autocorrelation=tuple(correlation[layer].tolist()),
        )
        for layer in range(len(profile))
    )
    return AttentionStudy(
        questions=tuple(questions),
        num_temporal_patches=len(patches),
        tokens_per_temporal_patch=per_patch,
        buckets=_age_buckets(bucket, seconds),
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
    """Return where each layer's attention lies on average: 0 the oldest token, 1 the newest, 0.5 if even.

    Args:
        profile: attention over tokens, oldest first; rows sum to 1.
    """
    num_tokens = profile.shape[1]
    return profile @ (torch.arange(num_tokens, dtype=profile.dtype) / max(num_tokens - 1, 1))


def _buckets(
    temporal_patch_index: Int[Tensor, " tokens"], num_temporal_patches: int, num_buckets: int
) -> Int[Tensor, " tokens"]:
    """Put patches into buckets of equally many, the newest first; only the oldest bucket may have fewer."""
    each = -(-num_temporal_patches // num_buckets)
    return (num_temporal_patches - 1 - temporal_patch_index) // each


def _age_buckets(bucket: Int[Tensor, " tokens"], seconds: Float[Tensor, " tokens"]) -> tuple[AgeBucket, ...]:
    ages = seconds.max() - seconds
    masks: list[Bool[Tensor, " tokens"]] = [bucket == k for k in range(int(bucket.max()) + 1)]
    return tuple(
        AgeBucket(
            from_seconds=float(ages[own].min()),
            until_seconds=float(ages[own].max()),
            token_share=float(own.double().mean()),
        )
        for own in masks
    )


def _autocorrelation(
    profile: Float[Tensor, "layers tokens"], tokens_per_temporal_patch: int
) -> Float[Tensor, "layers lags"]:
    """Return each layer's autocorrelation at lags up to three and a half patches; none for a short stream."""
    num_tokens, lags = profile.shape[1], _PERIODS * tokens_per_temporal_patch + tokens_per_temporal_patch // 2
    if num_tokens < _MIN_PATCHES * tokens_per_temporal_patch:
        return profile.new_zeros(len(profile), 0)
    centred = profile - profile.mean(dim=1, keepdim=True)
    power = centred.square().sum(dim=1).clamp(min=1e-30)
    rows = [(centred[:, :-lag] * centred[:, lag:]).sum(dim=1) / power for lag in range(1, lags + 1)]
    return torch.stack(rows, dim=1)


def periodicity(autocorrelation: Sequence[float], tokens_per_temporal_patch: int) -> float | None:
    """Return how far the autocorrelation at whole temporal patches stands above its surroundings.

    At one, two and three patches, the median over distances up to half a patch around is subtracted; the
    smallest of the three counts. Anchor tokens, which have one grid index in every patch, make it large;
    attention to whole patches does not, and a thing that rests for a moment makes the first large alone.

    Args:
        autocorrelation: at distances of 1, 2, ... tokens; empty is unknown.
        tokens_per_temporal_patch: visual tokens of a temporal patch.

    Returns:
        The difference, at most 2; None if it cannot be measured.
    """
    half = tokens_per_temporal_patch // 2
    if not half or not autocorrelation:
        return None
    peaks = []
    for num_patches in range(1, _PERIODS + 1):
        lag = num_patches * tokens_per_temporal_patch
        around = [autocorrelation[k - 1] for k in range(lag - half, lag + half + 1) if k != lag]
        peaks.append(autocorrelation[lag - 1] - median(around))
    return min(peaks)
