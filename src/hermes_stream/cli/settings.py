"""What JSON documents say about a session."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hermes_stream.cli.options import MemoryOptions, ModelOptions

if TYPE_CHECKING:
    from hermes_stream.stream import Session


def settings_of(session: Session, model: ModelOptions, memory: MemoryOptions) -> dict[str, object]:
    """Return what the session was made with, "auto" and defaults resolved."""
    layout = session.model.layout
    resolved = {
        "budget_tokens": session.policy.budget_tokens,
        "chunk_frames": session.chunk_frames,
        "device": str(layout.device),
        "dtype": str(layout.dtype).removeprefix("torch."),
        "model_knows": session.model.card.knows,
    }
    settings = asdict(model) | asdict(memory) | resolved
    del settings["threads"]  # belongs to the machine: a run may go on with another number
    return settings


def keeping_line(policy: str, budget_tokens: int | None) -> str:
    """Say which policy a stream's memory follows, and how much it keeps.

    Args:
        policy: its name, as it was asked for.
        budget_tokens: visual tokens of a layer, at most; None is no bound.
    """
    kept = "all" if budget_tokens is None else f"at most {budget_tokens}"
    return f"policy {policy} keeps {kept} visual tokens per layer"


def memory_of(session: Session) -> dict[str, object]:
    """Return what the session has seen and holds."""
    stats = session.stats
    return {
        "num_frames": stats.num_frames,
        "num_still_frames": stats.num_still_frames,
        "num_visual_tokens_seen": stats.num_visual_tokens_seen,
        "num_visual_tokens_dropped": stats.num_visual_tokens_dropped,
        "num_visual_tokens_kept": stats.num_visual_tokens_kept,
        "num_archived_tokens": stats.num_archived_tokens,
        "num_kept_by_temporal_patch": _kept_by_patch(session),
        "num_compressions": stats.num_compressions,
        "cache_bytes": stats.cache_bytes,
        "host_bytes": stats.host_bytes,
        "recall_seconds": stats.recall_seconds,
    }


def _kept_by_patch(session: Session) -> dict[str, float]:
    """Count the tokens left of each temporal patch, mean over layers; summaries belong to none."""
    state = session.cache.state()
    patch_ids = state.temporal_patch_ids[state.temporal_patch_ids >= 0]
    counts = zip(*(part.tolist() for part in patch_ids.unique(return_counts=True)), strict=True)
    return {str(patch_id): round(count / state.num_layers, 3) for patch_id, count in counts}
