"""What must happen for a stream to fit a model's positions: a lower budget, gaps closed."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from hermes_stream.cache import StreamCache
from hermes_stream.memory.state import RetentionPlan
from hermes_stream.policies.base import MemoryPolicy

log = logging.getLogger(__name__)


def within(policy: MemoryPolicy, num_layers: int, most_tokens: int) -> MemoryPolicy:
    """Lower a policy's budget until no layer keeps more than the model's positions hold."""
    budgets = policy.layer_budgets(num_layers)
    if budgets is None or policy.budget_tokens is None or max(budgets) <= most_tokens:
        return policy
    fitting = max(1, policy.budget_tokens * most_tokens // max(budgets) - 1)
    log.warning(
        "a budget of %d tokens does not fit the model's positions; %d are kept", policy.budget_tokens, fitting
    )
    return replace(policy, budget_tokens=fitting)  # type: ignore[type-var]


def keep_everything(cache: StreamCache) -> RetentionPlan:
    """Return the plan that evicts nothing and closes the gaps between positions."""
    counts = torch.tensor(cache.num_visual_tokens, device=cache.layout.device)
    slots = torch.arange(int(counts.max()), device=counts.device)
    return RetentionPlan(
        keep=torch.where(slots < counts[:, None], slots, -1),
        summarize=torch.zeros_like(counts, dtype=torch.bool),
        reindex=True,
    )
