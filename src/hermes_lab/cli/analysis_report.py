"""What ``hermes analyze`` found: as a document, as figures, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from hermes_lab.cli.folder import write_document, written
from hermes_stream.cli.evidence import evidence_entry, evidence_line
from hermes_stream.cli.output import say
from hermes_stream.cli.settings import keeping_line, memory_of

if TYPE_CHECKING:
    from hermes_lab.analysis.attention import AttentionStudy
    from hermes_lab.analysis.memory_map import MemoryMap
    from hermes_lab.analysis.plots import EvidenceRow
    from hermes_lab.analysis.thumbnails import Thumbnails
    from hermes_stream.stream import Evidence, Session

Span = tuple[float, float]
REPORT = "analysis.json"
_FIGURES = ("attention", "tiers", "periodicity", "memory", "evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisQuestion:
    """A question; of a story, with its true answer and when what decides it was on screen."""

    text: str
    truth: str | None = None
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedAnswer:
    """An answer and where its attention rested."""

    question: AnalysisQuestion
    text: str
    evidence: Evidence

    @property
    def shown(self) -> str:
        """The answer for people; with the truth, if that is another."""
        truth = self.question.truth
        verdict = "" if truth in (None, self.text) else f"  (true: {truth})"
        return f"{self.text or '(no answer)'}{verdict}"

    def document(self, start_seconds: float) -> dict[str, Any]:
        """Return what a JSON document says of the answer, times counted from a start."""
        frames = [
            {
                "seconds": round(patch.seconds - start_seconds, 6),
                "share": round(patch.share, 6),
                "token_share": round(patch.token_share, 6),
            }
            for patch in self.evidence.patches
        ]
        document = {
            "question": self.question.text,
            "answer": self.text,
            **evidence_entry(self.evidence, start_seconds),
            "frames": frames,
        }
        if self.question.truth is not None:
            spans = self.question.spans
            own = [f for f in frames if any(start <= f["seconds"] < end for start, end in spans)]
            document |= {
                "truth": self.question.truth,
                "decided_seconds": spans,
                "decided_share": round(sum(frame["share"] for frame in own), 6),
                "decided_token_share": round(sum(frame["token_share"] for frame in own), 6),
            }
        return document


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What was measured on one video.

    Attributes:
        session: saw the video, with the policy.
        thumbnails: of the video.
        start_seconds: time of the first frame.
        last_seconds: time of the last frame.
        studied_until_seconds: time of the last frame on which attention was studied.
        study: how the model attends to the video if nothing is forgotten.
        answers: the session's, at the end.
    """

    session: Session
    thumbnails: Thumbnails
    start_seconds: float
    last_seconds: float
    studied_until_seconds: float
    study: AttentionStudy
    answers: Sequence[TracedAnswer]

    def memory_map(self) -> MemoryMap:
        """Return what the memory holds, in seconds from the first frame."""
        from hermes_lab.analysis.memory_map import memory_map

        found = memory_map(self.session)
        return replace(found, seconds=tuple(round(at - self.start_seconds, 6) for at in found.seconds))

    def document(self, unknown_words: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Return all that was measured, for a JSON document; times are counted from the first frame.

        Args:
            unknown_words: words that the model does not know, by question; nothing for other questions.
        """
        start = self.start_seconds
        return {
            "last_seconds": round(self.last_seconds - start, 6),
            "studied_until_seconds": round(self.studied_until_seconds - start, 6),
            **memory_of(self.session),
            "attention": asdict(self.study),
            "memory_map": asdict(self.memory_map()),
            "answers": [
                answer.document(start) | {"unknown_words": list(unknown_words.get(answer.question.text, ()))}
                for answer in self.answers
            ],
        }

    def write(self, folder: Path, document: dict[str, Any], *, draws: bool) -> list[str]:
        """Write the document as ``analysis.json``, and figures, and return the names of the files.

        Args:
            folder: where; it exists.
            document: what is written.
            draws: whether there are figures.
        """
        write_document(document, folder / REPORT, figures=None)
        if not draws:
            return [REPORT]
        self._draw(folder, policy=document["policy"])
        return [REPORT, *(f"{name}.png" for name in _FIGURES)]

    def _draw(self, folder: Path, *, policy: str) -> None:
        from hermes_lab.analysis import plots
        from hermes_lab.analysis.figures import save

        mapped, thumbnails = self.memory_map(), self.thumbnails
        period = plots.patch_period(mapped.temporal_patch_ids, mapped.seconds)
        span = (0.0, self.last_seconds - self.start_seconds)
        rows = [self._evidence_row(answer) for answer in self.answers]
        model = self.session.model.card.name
        full, own = f"{model}, every token kept", f"{model}, {policy}, {self._budget()}"
        stats = self.session.stats
        is_whole = stats.num_visual_tokens_kept == stats.num_visual_tokens_seen
        note = "nothing was evicted: the memory holds the whole stream" if is_whole else ""
        figures = [
            plots.draw_attention(self.study, about=full),
            plots.draw_tiers(self.study, about=full),
            plots.draw_periodicity(self.study, about=full),
            plots.draw_map(mapped, thumbnails, span=span, about=own, note=note),
            plots.draw_evidence(rows, thumbnails, span=span, period=period, about=own),
        ]
        with written(folder):
            for name, figure in zip(_FIGURES, figures, strict=True):
                save(figure, folder / f"{name}.png", dpi=plots.DPI)

    def _budget(self) -> str:
        budget_tokens = self.session.policy.budget_tokens
        return "no bound" if budget_tokens is None else f"{budget_tokens} visual tokens per layer"

    def _evidence_row(self, answer: TracedAnswer) -> EvidenceRow:
        from hermes_lab.analysis.plots import EvidenceRow

        return EvidenceRow(
            title=f"{answer.question.text}  \u2192  {answer.shown}",
            seconds=tuple(patch.seconds - self.start_seconds for patch in answer.evidence.patches),
            shares=tuple(patch.share for patch in answer.evidence.patches),
            spans=answer.question.spans,
        )

    def print(self, policy: str, out: Path | None, files: Sequence[str]) -> None:
        """Tell what was found in a few lines, of which memory, and which files a folder got, if any."""
        study, proposal = self.study, self.study.proposal
        say(
            f"{len(study.questions)} questions over {study.num_temporal_patches} frames of "
            f"{study.tokens_per_temporal_patch} tokens, all remembered"
        )
        say("layer  recency index  periodicity  on the video")
        for layer in study.layers:
            period = "-" if layer.periodicity is None else f"{layer.periodicity:.2f}"
            numbers = f"{layer.recency_index:>13.2f}  {period:>11}  {layer.video_share:>12.0%}"
            say(f"{layer.layer_idx:>5}  {numbers}")
        say(
            f"by these, {proposal.num_sensory_layers} of {len(study.layers)} layers are sensory and "
            f"{proposal.num_long_term_layers} long-term; to try that: --policy "
            f"hermes_paper:sensory_share={proposal.sensory_share:g},long_term_share={proposal.long_term_share:g}\n"
        )
        for answer in self.answers:
            say(f"{answer.question.text}\n  {answer.shown}")
            say(f"  looked at {evidence_line(evidence_entry(answer.evidence, self.start_seconds))}")
        stats = self.session.stats
        kept_by = keeping_line(policy, self.session.policy.budget_tokens)
        say(
            f"\n{stats.num_visual_tokens_kept} of {stats.num_visual_tokens_seen} visual tokens kept, of "
            f"{len(self.memory_map().temporal_patch_ids)} of {stats.num_frames} frames; {kept_by}"
        )
        if out is not None:
            say(f"{out}: {', '.join(files)}")
