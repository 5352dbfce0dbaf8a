"""What a kind of question asks of a memory: the present, the past, a count, or the future."""

from __future__ import annotations

from hermes_stream.synthetic.questions import FURTHER_GROUPS, KIND_GROUPS

OVO_TASKS: dict[str, tuple[str, ...]] = {
    "backward": ("EPM", "ASI", "HLD"),
    "realtime": ("OCR", "ACR", "ATR", "STU", "FPD", "OJR"),
    "forward": ("REC", "SSR", "CRR"),
}
"""OVO-Bench's tasks by category; a category's score is the mean over its tasks."""
REAL_TIME_TASKS: tuple[str, ...] = (
    "Object Perception",
    "Object Recognition",
    "Causal Reasoning",
    "Clips Summarization",
    "Clips Summarize",
    "Attribute Perception",
    "Attribute Recognition",
    "Event Understanding",
    "Text-Rich Understanding",
    "Prospective Reasoning",
    "Spatial Understanding",
    "Action Perception",
    "Action Recognition",
    "Counting",
)
"""StreamingBench's real-time visual understanding, by the names that its files and its paper use."""
GROUPS: dict[str, tuple[str, ...]] = {
    "now": (*KIND_GROUPS["now"], *OVO_TASKS["realtime"], *REAL_TIME_TASKS),
    "backward": (*KIND_GROUPS["backward"], *OVO_TASKS["backward"]),
    "counting": KIND_GROUPS["counting"],
    "forward": OVO_TASKS["forward"],
    "standing": FURTHER_GROUPS["standing"],
    "recall": (*FURTHER_GROUPS["recall"], "EPM", "ASI"),
    "never_shown": (*FURTHER_GROUPS["never_shown"], "HLD"),
}
"""Kinds of the synthetic world, and tasks of benchmarks as these sort them themselves.

OVO-Bench's backward tasks are also told apart: what was shown and must be recalled, and what never was.
"""
_GROUP_OF = {kind: group for group, kinds in reversed(GROUPS.items()) for kind in kinds}


def group_of(kind: str) -> str | None:
    """Return the first group of a kind, None for a kind that no group names."""
    return _GROUP_OF.get(kind)
