"""How new the newest part of a stream is, against what is remembered."""

from __future__ import annotations

from hermes_stream.cache import StreamCache
from hermes_stream.memory.novelty import novelty


def newness_since(cache: StreamCache, since_seconds: float | None) -> float:
    """Return the mean novelty of visual tokens that came after a moment, from 0 to 1; 0 where none did.

    Args:
        cache: a stream's memory.
        since_seconds: the moment; None takes all tokens.
    """
    state = cache.state(shows_keys=True)
    assert state.raw_keys is not None
    assert state.grid_indices is not None
    came = state.present & (state.temporal_patch_ids >= 0)
    if since_seconds is not None:
        came &= state.pts_seconds > since_seconds
    if not bool(came.any()):
        return 0.0
    return float(novelty(state.raw_keys, state.grid_indices)[came].mean())
