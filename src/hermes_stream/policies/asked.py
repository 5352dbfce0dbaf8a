"""Asking a policy for its plan; what policies of other packages answer is looked at before it is followed.

A plan moves tokens for good, and what is wrong with it would show much later, or never. This package's own
policies are held to the same by tests (``tests/contracts``), so that nothing waits for the device for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from hermes_stream.errors import PolicyError
from hermes_stream.memory.selection import evicted_mask
from hermes_stream.memory.state import MemoryState, MergedSlots, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy


def plan_of(policy: MemoryPolicy, state: MemoryState) -> RetentionPlan:
    """Let a policy plan.

    Raises:
        PolicyError: a policy of another package failed, planned what cannot be followed, or more than its
            budget.
    """
    if type(policy).__module__.startswith(f"{__package__}."):
        return policy.plan(state)
    name = f"{type(policy).__name__}.plan"
    try:
        plan = policy.plan(state)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever foreign code raises: the frames are not at fault
        raise PolicyError(f"{name}: {type(error).__name__}: {error}; mend that policy") from error
    for fault in _faults(policy, plan, state):
        raise PolicyError(f"{name}: {fault}; see docs/adding-a-policy.md")
    return plan


def _faults(policy: MemoryPolicy, plan: RetentionPlan, state: MemoryState) -> Iterator[str]:
    """Yield what is wrong with a plan; later looks rely on what earlier ones found right."""
    if not isinstance(plan, RetentionPlan):
        yield f"it must return a RetentionPlan; got {type(plan).__name__}"
    (num_layers, num_tokens), device = state.token_ids.shape, state.token_ids.device
    ragged, whole = (num_layers, None), (num_layers, num_tokens)
    yield from _form("keep", plan.keep, torch.long, shape=ragged, device=device)
    yield from _form("summarize", plan.summarize, torch.bool, shape=(num_layers,), device=device)
    yield from _indices("keep", plan.keep, state.lengths)
    if (plan.keep.diff(dim=1)[plan.keep[:, 1:] >= 0] <= 0).any():
        yield "keep must ascend within a layer, each index once"
    if (merge := plan.merge) is not None:
        if not isinstance(merge, MergedSlots):
            yield f"merge must be MergedSlots or None; got {type(merge).__name__}"
        yield from _form("source_indices", merge.source_indices, torch.long, shape=ragged, device=device)
        yield from _form("slot_of_token", merge.slot_of_token, torch.long, shape=whole, device=device)
        yield from _form("weights", merge.weights, torch.float32, shape=whole, device=device)
        yield from _indices("source_indices", merge.source_indices, state.lengths)
        yield from _shares(merge, state)
        if plan.summarize.any():
            yield "it may merge or summarize, not both"
    yield from _counts(policy, plan, state)


def _form(
    name: str, value: object, dtype: torch.dtype, *, shape: tuple[int | None, ...], device: torch.device
) -> Iterator[str]:
    """Yield that something is no such tensor; a size of None may be any."""
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    wanted = f"{name} must be {dtype} [{sizes}] on {device}; got "
    if not isinstance(value, Tensor):
        yield f"{wanted}{type(value).__name__}"
    elif (
        value.ndim != len(shape)
        or any(size not in (None, own) for size, own in zip(shape, value.shape, strict=True))
        or (value.dtype, value.device) != (dtype, device)
    ):
        yield f"{wanted}{value.dtype} {list(value.shape)} on {value.device}"


def _indices(
    name: str, index: Int[Tensor, "layers chosen"], lengths: Int[Tensor, " layers"]
) -> Iterator[str]:
    """Yield that indices point at nothing, or padding stands before one."""
    wrong = (index < -1) | (index >= lengths[:, None])
    if wrong.any():
        layer, column = wrong.nonzero()[0].tolist()
        found, held = int(index[layer, column]), int(lengths[layer])
        yield f"{name} must be below the tokens that a layer holds; layer {layer} holds {held}, got {found}"
    if ((index[:, 1:] >= 0) & (index[:, :-1] < 0)).any():
        yield f"{name} must have its padding, -1, on the right"


def _shares(merge: MergedSlots, state: MemoryState) -> Iterator[str]:
    """Yield that tokens join slots that there are not, or shares do not make a mean."""
    joins, num_slots = merge.slot_of_token >= 0, merge.num_slots
    wrong = (merge.slot_of_token < -1) | (merge.slot_of_token >= num_slots[:, None])
    if (wrong | (joins & ~state.present)).any():
        yield "slot_of_token must be -1, or a slot that source_indices names, for tokens that there are"
    width = merge.source_indices.shape[1]
    sums = merge.weights.new_zeros(len(num_slots), width + 1)
    sums.scatter_add_(1, torch.where(joins, merge.slot_of_token, width), merge.weights)
    exists = torch.arange(width, device=sums.device) < num_slots[:, None]
    ones = sums.new_ones(())
    if not merge.weights.isfinite().all() or not torch.allclose(sums[:, :width][exists], ones, atol=1e-3):
        yield "weights must be finite, and sum to 1 over the tokens that join a slot"


def _counts(policy: MemoryPolicy, plan: RetentionPlan, state: MemoryState) -> Iterator[str]:
    """Yield that numbers which the cache would believe are wrong, or layers hold more than they may."""
    evicted = evicted_mask(plan.keep, state.present) & (state.counts > 0)
    looked_at = replace(plan, num_kept=None, num_new=None)
    kept, new, _ = looked_at.counted(evicted, plan.summarize & evicted.any(dim=1))
    for name, told, found in (("num_kept", plan.num_kept, kept), ("num_new", plan.num_new, new)):
        if told is not None and tuple(told) != found:
            yield f"{name} is {tuple(told)}, and the tensors have {found}; None lets them be counted"
    if plan.is_shared and (plan.keep != plan.keep[0]).any():
        yield "is_shared is True, and layers keep different indices"
    for layer, budget in enumerate(policy.layer_budgets(state.num_layers) or ()):
        num_slots = kept[layer] + new[layer]
        if num_slots > budget and policy.exceeds(num_slots, budget, state.num_prefix_tokens):
            held = state.lengths[layer]
            yield f"layer {layer} would hold {num_slots} of its {held} tokens, and may hold {budget}"
