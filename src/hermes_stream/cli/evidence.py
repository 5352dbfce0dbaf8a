"""Evidence of an answer, as JSON documents and tables give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hermes_stream.cli.output import clock

if TYPE_CHECKING:
    from hermes_stream.stream import Evidence

_MAX_MOMENTS = 5
_MAX_SHOWN = 3
_MIN_SHOWN_SHARE = 0.05


def evidence_entry(evidence: Evidence, start_seconds: float) -> dict[str, Any]:
    """Return what a JSON document says an answer attended to: moments, and shares of attention weights.

    Args:
        evidence: of one answer.
        start_seconds: time of the video's first frame.
    """
    moments = [
        {
            "seconds": round(moment.seconds - start_seconds, 6),
            "from_seconds": round(moment.from_seconds - start_seconds, 6),
            "until_seconds": round(moment.until_seconds - start_seconds, 6),
            "share": round(moment.share, 6),
        }
        for moment in evidence.moments(_MAX_MOMENTS)
    ]
    return {
        "evidence": moments,
        "summary_share": round(evidence.summary_share, 6),
        "video_share": round(evidence.video_share, 6),
    }


def evidence_line(entry: Mapping[str, Any]) -> str:
    """List the moments with the largest shares: ``0:45 to 0:47 (56 %), 0:35 (6 %)``."""
    shown = [
        f"{_span(moment)} ({moment['share']:.0%})"
        for moment in entry["evidence"][:_MAX_SHOWN]
        if moment["share"] >= _MIN_SHOWN_SHARE
    ]
    if entry["summary_share"] >= _MIN_SHOWN_SHARE:
        shown.append(f"summaries of forgotten moments ({entry['summary_share']:.0%})")
    return ", ".join(shown) or "no moment more than others"


def _span(moment: Mapping[str, Any]) -> str:
    first, last = clock(moment["from_seconds"]), clock(moment["until_seconds"])
    return first if first == last else f"{first} to {last}"
