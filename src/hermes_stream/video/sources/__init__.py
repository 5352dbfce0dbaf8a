"""Sources of frames: each is an iterable of ``Frame`` whose times strictly increase."""

from hermes_stream.video.sources.file import FileSource

__all__ = ["FileSource"]
