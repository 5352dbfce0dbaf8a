"""What ``hermes analyze`` found: as a document, as pictures, in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.evidence import in_words, rested_on
from hermes_stream.cli.settings import memory_of

if TYPE_CHECKING:
    from hermes_lab.analysis.attention import AttentionStudy
    from hermes_lab.analysis.memory_map import MemoryMap
    from hermes_lab.analysis.plots import EvidenceRow
    from hermes_lab.analysis.thumbnails import Thumbnails
    from hermes_stream.stream import Evidence, Session

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question; of a story, with its true answer and when what decides it was on screen."""

    text: str
    truth: str | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """An answer and where its attention rested."""

    asked: Asked
    answer: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Two sessions that saw the same video.

    Attributes:
        session: follows the policy.
        full: forgets nothing.
        thumbnails: of the video.
        start_seconds: time of the first frame.
        last_seconds: time of the last frame.
        full_until_seconds: time of the last frame that the session which forgets nothing has seen.
    """

    session: Session
    full: Session
    thumbnails: Thumbnails
    start_seconds: float
    last_seconds: float
    full_until_seconds: float

    @property
    def map(self) -> MemoryMap:
        """What the memory holds, in seconds from the first frame."""
        from hermes_lab.analysis.memory_map import memory_map

        found = memory_map(self.session)
        seconds = tuple(round(at - self.start_seconds, 6) for at in found.seconds)
        return replace(found, seconds=seconds)


def document_of(
    watched: Watched, settings: dict[str, object], study: AttentionStudy, looked: Sequence[Looked]
) -> dict[str, Any]:
    """Return all that was measured, for a JSON document; times are counted from the video's first frame."""
    start = watched.start_seconds
    return {
        **settings,
        "last_seconds": round(watched.last_seconds - start, 6),
        "studied_until_seconds": round(watched.full_until_seconds - start, 6),
        **memory_of(watched.session),
        "attention": asdict(study),
        "memory_map": asdict(watched.map),
        "answers": [_entry(one, start) for one in looked],
    }


def _entry(one: Looked, start_seconds: float) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "question": one.asked.text,
        "answer": one.answer,
        **rested_on(one.evidence, start_seconds),
        "frames": [
            {
                "seconds": round(frame.seconds - start_seconds, 6),
                "share": round(frame.share, 6),
                "token_share": round(frame.token_share, 6),
            }
            for frame in one.evidence.patches
        ],
    }
    if one.asked.truth is not None:
        spans = one.asked.spans
        entry |= {"truth": one.asked.truth, "decided_seconds": spans}
        entry["decided_share"] = _share_in(entry, "share", spans)
        entry["decided_token_share"] = _share_in(entry, "token_share", spans)
    return entry


def _share_in(entry: dict[str, Any], name: str, spans: tuple[Span, ...]) -> float:
    """Add up what frames within the spans have."""
    frames = entry["frames"]
    own = (f[name] for f in frames if any(start <= f["seconds"] < end for start, end in spans))
    return round(sum(own), 6)


def write_report(
    folder: Path, document: dict[str, Any], watched: Watched, study: AttentionStudy, looked: Sequence[Looked]
) -> list[str]:
    """Write ``analysis.json`` and the pictures into a folder, made if need be; return their names."""
    from hermes_lab.analysis import plots

    mapped = watched.map
    period = plots.frame_period(mapped.temporal_patch_ids, mapped.seconds)
    span = (0.0, watched.last_seconds - watched.start_seconds)
    rows = [_row(one, watched.start_seconds) for one in looked]
    thumbnails = watched.thumbnails
    figures = {
        "attention.png": plots.draw_attention(study),
        "tiers.png": plots.draw_tiers(study),
        "periodicity.png": plots.draw_periodicity(study),
        "memory.png": plots.draw_map(mapped, thumbnails, span=span),
        "evidence.png": plots.draw_evidence(rows, thumbnails, span=span, period=period),
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    (folder / "analysis.json").write_text(text, encoding="utf-8")
    for name, figure in figures.items():
        plots.save(figure, folder / name)
    return ["analysis.json", *figures]


def _row(one: Looked, start_seconds: float) -> EvidenceRow:
    from hermes_lab.analysis.plots import EvidenceRow

    truth = one.asked.truth
    verdict = "" if truth in (None, one.answer) else f"   (true: {truth})"
    return EvidenceRow(
        title=f"{one.asked.text}  \u2192  {one.answer or '(no answer)'}{verdict}",
        seconds=tuple(frame.seconds - start_seconds for frame in one.evidence.patches),
        shares=tuple(frame.share for frame in one.evidence.patches),
        spans=one.asked.spans,
    )


def print_report(
    watched: Watched,
    study: AttentionStudy,
    looked: Sequence[Looked],
    written: Sequence[str],
    out: Path | None,
) -> None:
    """Tell what was found in a few lines."""
    proposal, num_layers = study.proposal, len(study.layers)
    typer.echo(
        f"{len(study.questions)} questions over {study.num_frames} frames of "
        f"{study.tokens_per_temporal_patch} tokens, all remembered"
    )
    typer.echo("layer  recency index  periodicity  on the video")
    for layer in study.layers:
        period = "-" if layer.periodicity is None else f"{layer.periodicity:.2f}"
        typer.echo(
            f"{layer.layer_idx:>5}  {layer.recency_index:>13.2f}  {period:>11}  {layer.video_share:>12.0%}"
        )
    typer.echo(
        f"by these, {proposal.num_sensory_layers} of {num_layers} layers are sensory and "
        f"{proposal.num_long_term_layers} long-term; to try that: --policy "
        f"hermes:sensory_share={proposal.sensory_share:g},long_term_share={proposal.long_term_share:g}\n"
    )
    for one in looked:
        truth = one.asked.truth
        verdict = "" if truth in (None, one.answer) else f"  (true: {truth})"
        typer.echo(f"{one.asked.text}\n  {one.answer or '(no answer)'}{verdict}")
        typer.echo(f"  looked at {in_words(rested_on(one.evidence, watched.start_seconds))}")
    stats = watched.session.stats
    typer.echo(
        f"\n{stats.num_visual_tokens_kept} of {stats.num_visual_tokens_seen} visual tokens kept, of "
        f"{len(watched.map.temporal_patch_ids)} of {stats.num_frames} frames"
    )
    if out is not None:
        typer.echo(f"{out}: {', '.join(written)}")
