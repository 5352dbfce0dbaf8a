"""The ``hermes`` command: one file per command, heavy imports inside it."""

from hermes_stream.cli.app import main

__all__ = ["main"]
