"""A training batch, and the attention of a decoder that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Streams of stories, each followed by blocks of a question and its answer, blind to each other.

    Attributes:
        stories: indices into the training set ``[streams]``.
        patches: indices of the temporal patches of its story that a stream shows ``[streams, patches]``.
        token_ids: question and answer tokens ``[streams, questions, block]``, from what closes the video.
        targets: next-token targets ``[streams, questions, block]``, ``IGNORED`` elsewhere.
        num_visible_patches: temporal patches that each question sees ``[streams, questions]``, at least one.
        kinds: the questions' kinds, flat ``[streams * questions]``; "" where none could be asked.
        gaps: position jumps before each temporal patch ``[streams, patches]``.
        question_gaps: position jumps before each question ``[streams, questions]``.
    """

    stories: Tensor
    patches: Tensor
    token_ids: Tensor
    targets: Tensor
    num_visible_patches: Tensor
    kinds: list[str]
    gaps: Tensor
    question_gaps: Tensor


def question_mask(num_visible_patches: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """Return what question tokens see, bool ``[streams, 1, question tokens, all tokens]``.

    Args:
        num_visible_patches: temporal patches that each question sees ``[streams, questions]``.
        shape: prefix tokens, temporal patches, tokens per temporal patch, tokens per question block.
    """
    num_prefix, num_patches, tokens_per_patch, block = shape
    streams, questions = num_visible_patches.shape
    num_before = num_prefix + num_patches * tokens_per_patch
    visible = torch.arange(num_before) < (num_prefix + num_visible_patches * tokens_per_patch)[..., None]
    own = torch.ones(block, block, dtype=torch.bool).tril()
    within = torch.block_diag(*[own] * questions).bool().expand(streams, -1, -1)
    return torch.cat([visible.repeat_interleave(block, dim=1), within], dim=2)[:, None]


def training_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *masks: Tensor, **_: Any
) -> tuple[Tensor, None]:
    """Attend causally over the video, and with the mask from the questions; called by transformers."""
    (attention_mask,) = masks
    groups: int = module.num_key_value_groups  # type: ignore[assignment]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    end = query.shape[2] - attention_mask.shape[2]
    video = F.scaled_dot_product_attention(
        query[:, :, :end], key[:, :, :end], value[:, :, :end], is_causal=True
    )
    text = F.scaled_dot_product_attention(query[:, :, end:], key, value, attn_mask=attention_mask)
    return torch.cat([video, text], dim=2).transpose(1, 2), None
