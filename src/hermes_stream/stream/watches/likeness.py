"""How alike two pictures are to the model: by the first layer's keys, place by place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hermes_stream.cache import StreamCache

_UNLIKE_SHARE = 0.05
"""The least alike places decide: a person at the door is a small part of the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPicture:
    """What is remembered of a picture.

    Attributes:
        places: of its tokens within the picture.
        keys: of each, in the first layer, before rotation: they tell what shows there and not when.
    """

    places: Int[Tensor, " tokens"]
    keys: Float[Tensor, "tokens channels"]


def newest_picture(cache: StreamCache) -> SeenPicture | None:
    """Return what the memory holds of its newest picture; None where it holds nothing of one."""
    state = cache.state(shows_keys=True)
    assert state.raw_keys is not None
    assert state.grid_indices is not None
    patches = state.temporal_patch_ids[0]
    if not len(patches) or int(patches.max()) < 0:
        return None
    newest = (patches == patches.max()) & (state.grid_indices[0] >= 0)
    if not bool(newest.any()):
        return None
    keys = state.raw_keys[0].transpose(0, 1).flatten(1)
    return SeenPicture(
        places=state.grid_indices[0][newest].cpu(), keys=keys[newest[: len(keys)]].float().cpu()
    )


def likeness(one: SeenPicture, other: SeenPicture) -> float:
    """Return how alike two pictures are where they differ most, from 0 to 1; 0 where they share no place."""
    places = sorted(set(one.places.tolist()) & set(other.places.tolist()))
    if not places:
        return 0.0
    own, others = (_at(picture, places) for picture in (one, other))
    alike = F.cosine_similarity(own, others, dim=-1).clamp(0, 1)
    count = max(round(_UNLIKE_SHARE * len(alike)), 1)
    return float(alike.sort().values[:count].mean())


def _at(picture: SeenPicture, places: list[int]) -> Float[Tensor, "places channels"]:
    row_of = {place: row for row, place in enumerate(picture.places.tolist())}
    return picture.keys[torch.tensor([row_of[place] for place in places])]
