"""Which slots hold what was seen last."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from hermes_stream.memory.state import MemoryState


def newest_slots(
    state: MemoryState, newest_seconds: Sequence[float | None]
) -> Bool[Tensor, "layers texts slots"]:
    """Return which slots each of several texts reads: the prefix, and visual tokens that are not too old.

    Args:
        state: what is held; no text behind it.
        newest_seconds: for each text, how far back it reads from the newest token, which is read always; None
            reads all.
    """
    seconds = state.pts_seconds
    reach = torch.tensor([torch.inf if one is None else one for one in newest_seconds], dtype=seconds.dtype)
    age = seconds.masked_fill(~state.present, -torch.inf).amax() - seconds
    visual = (age[:, None, :] < reach.to(seconds.device)[None, :, None]) & state.present[:, None, :]
    prefix = visual.new_ones(*visual.shape[:2], state.num_prefix_tokens)
    return torch.cat([prefix, visual], dim=2)
