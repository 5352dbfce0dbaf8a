"""A training batch, and the attention of a decoder that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_QUESTION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Streams of stories, each followed by questions with their answers, blind to each other.

    Questions lie one behind the other in a row of text, each from what closes the video to its answer's end.

    Attributes:
        stories: indices into the training set ``[streams]``.
        patches: indices of the temporal patches of its story that a stream shows ``[streams, patches]``.
        token_ids: of the rows of text ``[streams, text]``.
        targets: next-token targets ``[streams, text]``, ``IGNORED`` elsewhere.
        question_idx: which question of its stream a token belongs to ``[streams, text]``; ``NO_QUESTION``
            behind the last.
        offsets: where a token stands in its question ``[streams, text]``, from 0; behind the last from 1.
        num_visible_patches: temporal patches that each question sees ``[streams, questions]``, at least one.
        kinds: the questions' kinds, flat ``[streams * questions]``; "" where none could be asked.
        gaps: position jumps before each visual token ``[streams, patches, tokens per patch]``.
        question_gaps: position jumps before each question ``[streams, questions]``.
    """

    stories: Tensor
    patches: Tensor
    token_ids: Tensor
    targets: Tensor
    question_idx: Tensor
    offsets: Tensor
    num_visible_patches: Tensor
    kinds: list[str]
    gaps: Tensor
    question_gaps: Tensor

    def of_tokens(self, of_questions: Tensor) -> Tensor:
        """Return for each token of text what its question has ``[streams, text]``.

        Args:
            of_questions: ``[streams, questions]``; tokens behind the last question take the first one's.
        """
        return of_questions.gather(1, self.question_idx.clamp_min(0))

    def right_answers(self, predictions: Tensor) -> Tensor:
        """Return which questions have every token of their answer right, bool ``[streams, questions]``.

        Args:
            predictions: of next tokens ``[streams, text]``.
        """
        is_wrong = (predictions != self.targets) & (self.targets >= 0)
        num_wrong = torch.zeros_like(self.num_visible_patches)
        return num_wrong.scatter_add(1, self.question_idx.clamp_min(0), is_wrong.long()) == 0


def question_mask(batch: Batch, num_prefix: int, tokens_per_patch: int) -> Tensor:
    """Return what tokens of text see, bool ``[streams, 1, text, all tokens]``.

    Args:
        batch: its questions see temporal patches from the first on, and themselves.
        num_prefix: tokens before the video.
        tokens_per_patch: visual tokens of a temporal patch.
    """
    num_before = num_prefix + batch.patches.shape[1] * tokens_per_patch
    num_visible = num_prefix + batch.of_tokens(batch.num_visible_patches) * tokens_per_patch
    visible = torch.arange(num_before) < num_visible[..., None]
    is_own = batch.question_idx[:, :, None] == batch.question_idx[:, None]
    return torch.cat([visible, is_own.tril()], dim=2)[:, None]


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
