"""Annotated videos: the files of benchmarks as they are published, and those of the synthetic world."""

from hermes_lab.datasets.dialects import (
    DIALECTS,
    READ_DIALECTS,
    Annotations,
    load_annotations,
    read_annotations,
    write_annotations,
)
from hermes_lab.datasets.episode import Episode, EvalQuestion
from hermes_lab.datasets.video_lookup import VideoFinder, find_video

__all__ = [
    "Episode",
    "EvalQuestion",
    "DIALECTS",
    "READ_DIALECTS",
    "Annotations",
    "read_annotations",
    "load_annotations",
    "write_annotations",
    "find_video",
    "VideoFinder",
]
