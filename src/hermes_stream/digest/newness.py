"""How new what a stream shows is, wherever in the picture: against all that is remembered."""

from __future__ import annotations

from torch.nn import functional as F

from hermes_stream.cache import StreamCache


def content_newness(cache: StreamCache, since_seconds: float | None) -> float:
    """Return the mean of 1 minus a token's highest cosine with any key from before, from 0 to 1.

    What moves, and what it uncovers, has been seen before; what enters has not. One layer in the middle tells
    that as well as all do. Nothing to compare with, or nothing that came, is wholly new.

    Args:
        cache: a stream's memory.
        since_seconds: tokens behind this moment are compared with those up to it; None has no such.
    """
    state = cache.state(shows_keys=True)
    assert state.raw_keys is not None
    layer = state.num_layers // 2
    keys = state.raw_keys[layer].transpose(0, 1).flatten(1).float()
    present = (state.present & (state.temporal_patch_ids >= 0))[layer, : len(keys)].to(keys.device)
    if since_seconds is None:
        return 1.0
    is_new = (state.pts_seconds[layer, : len(keys)] > since_seconds).to(keys.device)
    new, known = keys[present & is_new], keys[present & ~is_new]
    if not len(new) or not len(known):
        return 1.0
    cosines = F.normalize(new, dim=-1) @ F.normalize(known, dim=-1).T
    return float((1 - cosines.amax(dim=1)).clamp(0, 1).mean())
