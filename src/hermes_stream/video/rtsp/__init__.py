"""A small RTSP server: plays frames or a file to many clients, for the live demo and for tests."""

from hermes_stream.video.rtsp.server import RtspServer

__all__ = ["RtspServer"]
