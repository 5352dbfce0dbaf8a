"""Annotated videos: the files of benchmarks as they are published, and those of the synthetic world."""

from hermes_lab.datasets.annotations import (
    Annotations,
    dialect_of,
    load_annotations,
    read_annotations,
    write_annotations,
)
from hermes_lab.datasets.dialects import DIALECTS, WRITABLE_DIALECTS
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.video_lookup import VideoFinder

__all__ = [
    "Episode",
    "EvalQuestion",
    "DIALECTS",
    "WRITABLE_DIALECTS",
    "Annotations",
    "dialect_of",
    "read_annotations",
    "load_annotations",
    "write_annotations",
    "VideoFinder",
]
