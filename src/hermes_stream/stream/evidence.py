"""Evidence for an answer: on which moments of the stream its attention rested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention_weights import Observation
from hermes_stream.errors import VideoError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.state import MemoryState
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.work import Work, next_token


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchShare:
    """What one temporal patch has of the attention that an answer pays to the video.

    Attributes:
        temporal_patch_id: which temporal patch of the stream.
        seconds: presentation time of its first frame.
        share: part of the attention, in [0, 1]; its text tokens are counted in.
        token_share: part of the tokens that were read, which is what even attention would give.
    """

    temporal_patch_id: int
    seconds: float
    share: float
    token_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Neighbouring temporal patches on which attention rests.

    Attributes:
        seconds: time of the patch with the largest share.
        from_seconds: time of the first patch.
        until_seconds: time of the last patch.
        share: what they have together, in [0, 1].
    """

    seconds: float
    from_seconds: float
    until_seconds: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """On which moments an answer's attention rested, all layers and heads added up.

    Attention tells what was looked at, not what decided.

    Attributes:
        patches: what is remembered of the stream, oldest first; their shares and ``summary_share`` sum to 1.
        summary_share: part of the attention to the video that rests on summaries, which are of no moment.
        video_share: part of all attention that rests on the video; the rest is on text.
    """

    patches: tuple[PatchShare, ...]
    summary_share: float
    video_share: float

    def moments(self, max_moments: int | None = None) -> tuple[Moment, ...]:
        """Return where attention rests, largest share first.

        Patches that have more than the patches' mean count; those that follow one another are one moment.

        Args:
            max_moments: how many to return at most; None returns all.
        """
        mean = sum(patch.share for patch in self.patches) / max(len(self.patches), 1)
        runs: list[list[PatchShare]] = []
        for patch in self.patches:
            if patch.share < mean:
                continue
            if runs and runs[-1][-1].temporal_patch_id == patch.temporal_patch_id - 1:
                runs[-1].append(patch)
            else:
                runs.append([patch])
        return tuple(sorted(map(_moment, runs), key=lambda moment: -moment.share)[:max_moments])


def _moment(run: list[PatchShare]) -> Moment:
    return Moment(
        seconds=max(run, key=lambda patch: patch.share).seconds,
        from_seconds=run[0].seconds,
        until_seconds=run[-1].seconds,
        share=sum(patch.share for patch in run),
    )


def evidence_of(state: MemoryState) -> Evidence:
    """Add attention up over layers, patch by patch.

    Args:
        state: with attention.

    Raises:
        ValueError: the state carries no attention.
        VideoError: nothing of the stream is remembered, or no attention at all rests on it.
    """
    if state.attention is None:
        raise ValueError("state.attention is None; read it with Session.read_attention")
    attention, present = state.attention.cpu().double(), state.present.cpu()
    total = float(attention[present].sum())
    if not total > 0:
        raise VideoError("no attention rests on the video, so there is no evidence; observe frames first")
    is_of_patch = present & (state.temporal_patch_ids.cpu() >= 0)
    numbers, index = state.temporal_patch_ids.cpu()[is_of_patch].unique(return_inverse=True)
    shares = (
        torch.zeros(len(numbers), dtype=torch.double).index_add_(0, index, attention[is_of_patch]) / total
    )
    seconds = torch.zeros_like(shares).scatter_(0, index, state.pts_seconds.cpu()[is_of_patch].double())
    tokens = torch.bincount(index, minlength=len(numbers)) / int(present.sum())
    columns = (numbers.tolist(), seconds.tolist(), shares.tolist(), tokens.tolist())
    return Evidence(
        patches=tuple(
            PatchShare(temporal_patch_id=number, seconds=at, share=share, token_share=even)
            for number, at, share, even in zip(*columns, strict=True)
        ),
        summary_share=float(attention[present & ~is_of_patch].sum()) / total,
        video_share=total / state.num_layers,
    )


def read_attention(
    context: QuestionContext, layout: CacheLayout, parts: Sequence[tuple[Float[Tensor, "_ hidden"], int]]
) -> Work[MemoryState]:
    """Return what a question reads, with the attention of some of its tokens; the memory stays as it was.

    Args:
        context: what the question reads.
        layout: the model's shape.
        parts: embeddings that follow one another, the question first; of each, how many of the newest tokens
            are observed.
    """
    width = context.max_context_tokens + sum(len(embeddings) for embeddings, _ in parts)
    weights = torch.zeros(layout.num_layers, width, device=layout.device)
    with context.reading():
        for embeddings, count in parts:
            own = torch.zeros_like(weights)
            observation = Observation(weights=own, num_tokens=count)
            yield from next_token(context.extend(embeddings, observation))
            weights += own * count
        state = context.state()
    weights /= sum(count for _, count in parts)
    first, width = state.num_prefix_tokens, state.token_ids.shape[1]
    shown = weights[:, first : first + width].to(state.token_ids.device)
    return replace(state, attention=shown.masked_fill(~state.present, 0))
