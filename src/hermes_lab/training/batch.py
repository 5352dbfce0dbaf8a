"""A training batch, and the attention of a decoder that reads one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_QUESTION = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Rows of text, one for each stream: questions with their answers, blind to each other.

    They lie one behind the other, each from what closes the video to its answer's end.

    Attributes:
        token_ids: of the rows of text ``[streams, text]``.
        targets: next-token targets ``[streams, text]``, ``IGNORED`` elsewhere.
        question_idx: which question of its stream a token belongs to ``[streams, text]``; ``NO_QUESTION``
            behind the last.
        offsets: where a token stands in its question ``[streams, text]``, from 0; behind the last from 1.
        kinds: the questions' kinds, flat ``[streams * questions]``; "" where none could be asked.
    """

    token_ids: Tensor
    targets: Tensor
    question_idx: Tensor
    offsets: Tensor
    kinds: list[str]

    def right_answers(self, predictions: Tensor) -> Tensor:
        """Return which questions have every token of their answer right, bool ``[streams, questions]``.

        Args:
            predictions: of next tokens ``[streams, text]``.
        """
        is_wrong = (predictions != self.targets) & (self.targets >= 0)
        num_questions = len(self.kinds) // len(self.token_ids)
        num_wrong = torch.zeros(len(self.token_ids), num_questions, dtype=torch.long)
        return num_wrong.scatter_add(1, self.question_idx.clamp_min(0), is_wrong.long()) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Questions):
    """Streams of stories, each followed by its questions.

    Attributes:
        stories: indices into the training set ``[streams]``.
        patches: indices of the temporal patches of its story that a stream shows ``[streams, patches]``.
        num_visible_patches: temporal patches that each question sees ``[streams, questions]``, at least one.
        gaps: position jumps before each visual token ``[streams, patches, tokens per patch]``.
        question_gaps: position jumps before each question ``[streams, questions]``.
        num_hidden_patches: temporal patches, from the first on, that a question does not see
            ``[streams, questions]``.
        is_lost: visual tokens that nothing sees any more which comes ``num_whole`` temporal patches later
            ``[streams, patches, tokens per patch]``; None where none is lost.
        num_whole: newest temporal patches of which all tokens are seen ``[streams]``.
    """

    stories: Tensor
    patches: Tensor
    num_visible_patches: Tensor
    gaps: Tensor
    question_gaps: Tensor
    num_hidden_patches: Tensor
    is_lost: Tensor | None
    num_whole: Tensor

    def of_tokens(self, of_questions: Tensor) -> Tensor:
        """Return for each token of text what its question has ``[streams, text]``.

        Args:
            of_questions: ``[streams, questions]``; tokens behind the last question take the first one's.
        """
        return of_questions.gather(1, self.question_idx.clamp_min(0))


def visibility(batch: Batch, num_prefix: int, tokens_per_patch: int) -> Tensor:
    """Return what tokens see, bool ``[streams, 1, tokens, all tokens]``.

    Args:
        batch: its questions see their temporal patches and themselves.
        num_prefix: tokens before the video; all see them.
        tokens_per_patch: visual tokens of a temporal patch.

    Returns:
        Rows of tokens of text; of all tokens where some of the video are lost, since else those before the
        text see all that comes before them.
    """
    newest = batch.of_tokens(batch.num_visible_patches)[..., None] - 1
    patch_idx = torch.arange(batch.patches.shape[1]).repeat_interleave(tokens_per_patch)
    video = (patch_idx <= newest) & (patch_idx >= batch.of_tokens(batch.num_hidden_patches)[..., None])
    if batch.is_lost is not None:
        video &= _is_left(batch, patch_idx, newest)
    prefix = torch.ones(*batch.question_idx.shape, num_prefix, dtype=torch.bool)
    is_own = batch.question_idx[:, :, None] == batch.question_idx[:, None]
    text = torch.cat([prefix, video, is_own.tril()], dim=2)
    if batch.is_lost is None:
        return text[:, None]
    before = torch.ones(len(text), num_prefix + len(patch_idx), text.shape[2], dtype=torch.bool).tril()
    end = num_prefix + len(patch_idx)
    before[:, num_prefix:, num_prefix:end] &= _is_left(batch, patch_idx, patch_idx[:, None])
    return torch.cat([before, text], dim=1)[:, None]


def _is_left(batch: Batch, patch_idx: Tensor, newest: Tensor) -> Tensor:
    """Return which visual tokens are left behind temporal patches, bool ``[streams, rows, visual tokens]``.

    Args:
        batch: some of its visual tokens are lost.
        patch_idx: temporal patch of each visual token.
        newest: temporal patch of each row ``[rows, 1]``, or ``[streams, rows, 1]``.
    """
    assert batch.is_lost is not None
    is_whole = newest - patch_idx < batch.num_whole[:, None, None]
    return is_whole | ~batch.is_lost.flatten(1)[:, None]


def training_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *masks: Tensor,
    held: tuple[Tensor, Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend with the mask where it has rows, and causally before them; called by transformers.

    What a memory holds comes before all: rotated keys and values ``[layers, n, kv_heads, held, head_dim]``.
    """
    (attention_mask,) = masks
    # What is held comes from a live memory, in float32; and on a CPU bfloat16 makes this no faster.
    query, key, value = query.float(), key.float(), value.float()
    if held is not None:
        layer: int = module.layer_idx  # type: ignore[assignment]
        key, value = (
            torch.cat([one[layer], own], dim=2) for one, own in zip(held, (key, value), strict=True)
        )
    groups: int = module.num_key_value_groups  # type: ignore[assignment]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    end = query.shape[2] - attention_mask.shape[2]
    if end == 0:
        every = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        return every.transpose(1, 2), None
    video = F.scaled_dot_product_attention(
        query[:, :, :end], key[:, :, :end], value[:, :, :end], is_causal=True
    )
    text = F.scaled_dot_product_attention(query[:, :, end:], key, value, attn_mask=attention_mask)
    return torch.cat([video, text], dim=2).transpose(1, 2), None
