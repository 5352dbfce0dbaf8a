"""What a stream takes of a model's positions and of memory, settled before it begins."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from numbers import Integral

from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError
from hermes_stream.layout import CacheLayout
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.retrieval.workspace import Workspace
from hermes_stream.stream.guidance import prompt_lengths

log = logging.getLogger(__name__)
_SHARE_OF_STREAMS = 0.9  # of an engine's time; the rest is for questions of people
_CONVERSATION_TOKENS = 256
_TEXT_TOKENS = 2048
_CHUNK_TOKENS = 4096
"""That are folded in at once: the largest pictures of some models would take more slots than the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a stream gets.

    Attributes:
        layout: the shape of its cache.
        policy: what is kept; its budget lowered where the model's positions do not hold it.
        chunk_frames: frames that are folded in at once, at most; whole temporal patches; fewer than asked for
            where they would take more than half of the model's positions.
        chunk_tokens: visual tokens that are folded in at once, at most; a chunk of large pictures goes in by
            parts.
        text_tokens: room for a question and its answer.
        conversation_tokens: tokens of a conversation that steer guidance, at most, each time that it is read.
        text_positions: positions that a question with its answer, or a guidance prompt, may take.
        slots_of_layer: slots of each layer: prefix, budget or at least one temporal patch, and the larger of
            chunk with its guidance prompts and text, which are never there together.
    """

    layout: CacheLayout
    policy: MemoryPolicy
    chunk_frames: int
    chunk_tokens: int
    text_tokens: int
    conversation_tokens: int
    text_positions: int
    slots_of_layer: tuple[int, ...]

    @property
    def chunk_positions(self) -> int:
        """First position that a chunk may not take, so that text still fits behind it."""
        return self.layout.max_positions - self.text_positions


def plan_capacity(
    model: VideoModel,
    policy: MemoryPolicy,
    *,
    chunk_frames: int,
    text_tokens: int | None,
    kv_bits: int | None = None,
) -> Capacity:
    """Lower chunk and budget where the model's positions do not hold prefix, both, and text together.

    Args:
        model: a loaded model.
        policy: what is kept.
        chunk_frames: frames that are folded in at once, at least 1.
        text_tokens: room for a question and its answer; None takes an eighth of the model's positions, at
            most 2,048.
        kv_bits: 8 keeps keys and values in 8 bits; None as the model makes them.

    Raises:
        CapacityError: two temporal patches and text do not fit the model's positions, or a frame's own text
            does not fit the budget.
        ValueError: an argument is out of its range.
    """
    _check_choices(chunk_frames, text_tokens, kv_bits)
    layout = model.layout if kv_bits is None else replace(model.layout, kv_bits=8)
    text_tokens = text_tokens or min(_TEXT_TOKENS, layout.max_positions // 8)
    policy = policy.with_default_budget(model.card.default_budget_tokens)
    # the prompts of one compression have it three times: working layers read two openings, deep ones one
    conversation_tokens = min(_CONVERSATION_TOKENS, text_tokens // 2) // 3
    prompts = prompt_lengths(model, policy)  # the longest may have two conversations in it
    text_positions = max(text_tokens, max(prompts) + 2 * conversation_tokens if prompts else 0)
    patch_tokens, patch_frames = model.card.tokens_per_temporal_patch, model.card.frames_per_temporal_patch
    num_prefix = len(model.chat.prefix_ids)
    room = layout.max_positions - num_prefix - text_positions - 1
    if room < 2 * patch_tokens:
        raise CapacityError(
            f"prefix and text take {layout.max_positions - room} of the model's {layout.max_positions} "
            f"positions; that leaves no room for two frames of {patch_tokens} tokens; lower text_tokens"
        )
    # A chunk of more than half of the room would leave less to the memory than to what just came.
    num_patches = min(-(-chunk_frames // patch_frames), room // 2 // patch_tokens)
    num_parts = -(-num_patches * patch_tokens // _CHUNK_TOKENS)
    chunk_tokens = -(-num_patches // num_parts) * patch_tokens
    policy = lower_budget(policy, layout.num_layers, room - chunk_tokens)
    _check_frame_text(model, policy)
    num_spare = sum(prompts) if kv_bits is None else 0  # those that a conversation makes longer do without
    beside = num_prefix + max(chunk_tokens + num_spare, text_tokens)
    budgets = policy.layer_budgets(layout.num_layers) or (0,) * layout.num_layers
    return Capacity(
        layout=layout,
        policy=policy,
        chunk_frames=num_patches * patch_frames,
        chunk_tokens=chunk_tokens,
        text_tokens=text_tokens,
        conversation_tokens=conversation_tokens,
        text_positions=text_positions,
        slots_of_layer=tuple(max(budget, patch_tokens) + beside for budget in budgets),
    )


def _check_choices(chunk_frames: int, text_tokens: int | None, kv_bits: int | None) -> None:
    if not isinstance(chunk_frames, Integral) or chunk_frames < 1:
        raise ValueError(f"chunk_frames must be a whole number of at least 1, got {chunk_frames!r}")
    if text_tokens is not None and (not isinstance(text_tokens, Integral) or text_tokens < 1):
        raise ValueError(f"text_tokens must be a whole number of at least 1, got {text_tokens!r}")
    if kv_bits not in (None, 8):
        raise ValueError(f"kv_bits must be 8, or None for the model's own dtype; got {kv_bits}")


def _check_frame_text(model: VideoModel, policy: MemoryPolicy) -> None:
    """Refuse a budget that keeps no visual token beside the text of its frame: its memory would be empty."""
    card, budgets = model.card, policy.layer_budgets(model.layout.num_layers)
    num_text = card.text_tokens_per_temporal_patch
    if num_text and budgets is not None and min(budgets) <= num_text:
        raise CapacityError(
            f"a budget of {policy.budget_tokens} tokens leaves a layer {min(budgets)}, and the text of one "
            f"frame of model {card.name!r} alone takes up to {num_text}; leave every layer at least "
            f"{num_text + 1}; {card.tokens_per_temporal_patch} hold one whole frame"
        )


def stream_bytes(model: VideoModel, capacity: Capacity) -> int | None:
    """Return what a stream's buffers will take on the model's device; None where they have no bound."""
    layout, policy = capacity.layout, capacity.policy
    if policy.layer_budgets(layout.num_layers) is None:
        return None
    num_bytes = StreamCache.num_bytes_of(layout, capacity.slots_of_layer)
    if (retrieval := policy.retrieval()) is not None:
        num_prefix = len(model.chat.prefix_ids)
        num_context = min(num_prefix + retrieval.read_tokens, capacity.chunk_positions)
        num_bytes += Workspace.num_bytes_of(layout, num_context + capacity.text_tokens)
    return num_bytes


def num_streams_in_time(stream_seconds: float) -> int:
    """Return how many streams one engine keeps up with, questions of people beside.

    Args:
        stream_seconds: what a second of one stream takes, its frames and watches together.
    """
    return math.floor(_SHARE_OF_STREAMS / stream_seconds)


def lower_budget(policy: MemoryPolicy, num_layers: int, max_tokens: int) -> MemoryPolicy:
    """Lower a policy's budget until no layer keeps more than the model's positions hold."""
    budgets = policy.layer_budgets(num_layers)
    if budgets is None or policy.budget_tokens is None or max(budgets) <= max_tokens:
        return policy
    fitting = max(1, policy.budget_tokens * max_tokens // max(budgets) - 1)
    log.warning(
        "a budget of %d tokens does not fit the model's positions; %d are kept", policy.budget_tokens, fitting
    )
    return replace(policy, budget_tokens=fitting)  # type: ignore[type-var]
