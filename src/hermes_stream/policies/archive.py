"""What a bounded archive keeps, for the policies that retrieve from one."""

from __future__ import annotations

from typing import Literal

from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.uniform import UniformPolicy
from hermes_stream.policies.window import WindowPolicy

ArchiveKeeps = Literal["newest", "uniform"]


def archive_policy(keeps: ArchiveKeeps, archive_tokens: int) -> MemoryPolicy:
    """Return the policy of a bounded archive.

    Args:
        keeps: the "newest" temporal patches, or a "uniform" stride.
        archive_tokens: tokens that the archive holds of each layer, at most.
    """
    policy = WindowPolicy if keeps == "newest" else UniformPolicy
    return policy(budget_tokens=max(archive_tokens, 1))
