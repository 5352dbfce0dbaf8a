"""Evidence of an answer, for JSON documents and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from hermes_stream.cli.output import clock

if TYPE_CHECKING:
    from hermes_stream.stream import Evidence

_MOST_MOMENTS = 5
_MOST_TOLD = 3
_LEAST_TOLD = 0.05


class Moment(TypedDict):
    """Neighbouring frames on which attention rested; seconds from the start of the video."""

    seconds: float
    from_seconds: float
    until_seconds: float
    share: float


class Rested(TypedDict):
    """Where an answer's attention rested."""

    evidence: list[Moment]
    summary_share: float
    video_share: float


def rested_on(evidence: Evidence, start_seconds: float) -> Rested:
    """Return what a JSON document says of evidence.

    Args:
        evidence: of one answer.
        start_seconds: time of the video's first frame.
    """
    return Rested(
        evidence=[
            Moment(
                seconds=round(moment.seconds - start_seconds, 6),
                from_seconds=round(moment.from_seconds - start_seconds, 6),
                until_seconds=round(moment.until_seconds - start_seconds, 6),
                share=round(moment.share, 6),
            )
            for moment in evidence.moments(_MOST_MOMENTS)
        ],
        summary_share=round(evidence.summary_share, 6),
        video_share=round(evidence.video_share, 6),
    )


def in_words(rested: Rested) -> str:
    """Name the moments that matter, largest share first: ``0:45 to 0:47 (56 %), 0:35 (6 %)``."""
    told = [
        f"{_span(moment)} ({moment['share']:.0%})"
        for moment in rested["evidence"][:_MOST_TOLD]
        if moment["share"] >= _LEAST_TOLD
    ]
    if rested["summary_share"] >= _LEAST_TOLD:
        told.append(f"summaries of forgotten moments ({rested['summary_share']:.0%})")
    return ", ".join(told) or "no moment more than others"


def _span(moment: Moment) -> str:
    first, last = clock(moment["from_seconds"]), clock(moment["until_seconds"])
    return first if first == last else f"{first} to {last}"
