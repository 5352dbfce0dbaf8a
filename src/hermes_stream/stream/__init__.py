"""A stream's life: sessions, answers, and the memory at work."""

from hermes_stream.stream.answer import Answer
from hermes_stream.stream.evidence import Evidence, FrameShare, Moment
from hermes_stream.stream.session import Session
from hermes_stream.stream.stats import SessionStats

__all__ = ["Session", "Answer", "Evidence", "FrameShare", "Moment", "SessionStats"]
