"""What a kind of question asks of a memory: the present, the past, a count, or the future."""

from __future__ import annotations

from hermes_lab.datasets.ovo import CATEGORIES
from hermes_stream.synthetic.questions import KIND_GROUPS

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
    "now": (*KIND_GROUPS["now"], *CATEGORIES["realtime"], *REAL_TIME_TASKS),
    "backward": (*KIND_GROUPS["backward"], *CATEGORIES["backward"]),
    "counting": KIND_GROUPS["counting"],
    "forward": CATEGORIES["forward"],
}
"""Kinds of the synthetic world, and tasks of benchmarks as these sort them themselves."""
_GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}


def group_of(kind: str) -> str | None:
    """Return the group of a kind, None where nobody sorted it."""
    return _GROUP_OF.get(kind)
