"""Every error that the package raises on purpose.

::

    HermesError
    ├── VideoError            a source cannot be opened, decoded or written
    ├── ModelError            a checkpoint cannot be loaded or used
    │   └── UnknownFamilyError    its architecture has no adapter
    ├── DeviceError           a device or dtype that this machine does not have
    ├── CapacityError         more tokens than a stream's buffers or positions hold
    ├── ThreadError           a call from a thread that may not call
    ├── AnnotationError       annotations cannot be read or written, or their videos are not found
    ├── WorkerError           a program that shares a run ended before its time
    ├── JudgeError            the endpoint that judges open answers gives no judgement
    ├── PluginError           an installed plugin cannot be loaded, or its name is taken
    └── MissingPackageError   an optional package is not installed

A message says what failed, the value got, what is accepted and what to do. A wrong argument of a call is a
plain ``ValueError``.
"""

from __future__ import annotations

from pathlib import Path


class HermesError(Exception):
    """Root of the tree; catch it to catch every deliberate failure."""


class VideoError(HermesError):
    """A video cannot be opened, decoded or written; names the file and the reason."""


class ModelError(HermesError):
    """A checkpoint cannot be loaded or used; names the checkpoint and what is missing."""


class UnknownFamilyError(ModelError):
    """The checkpoint's architecture has no adapter; names those that exist."""


class DeviceError(HermesError):
    """The device or dtype asked for is not available here."""


class CapacityError(HermesError):
    """A prompt or chunk does not fit the stream's buffers or the model's positions; gives the numbers."""


class ThreadError(HermesError):
    """An engine or one of its streams was called from a thread that does not own it; names both threads."""


class AnnotationError(HermesError):
    """Annotations cannot be read or written, or their video is not found; names the file and the entry."""


class WorkerError(HermesError):
    """A program that shares a run ended before its time; names what ended it, and what is kept."""


class JudgeError(HermesError):
    """The endpoint that judges open answers refuses or does not answer; names the address and the reason."""


class PluginError(HermesError):
    """A plugin cannot be loaded, or its name is taken; names the name and the packages that offer it."""


class MissingPackageError(HermesError):
    """An optional package is needed and not installed; says how to install it."""


def page(name: str) -> Path:
    """Return where a page of the documentation lies, for messages that send a reader there.

    Args:
        name: of the page; pyproject.toml puts each that a message names into the wheel.
    """
    package = Path(__file__).parent
    installed = package / "docs" / name
    return installed if installed.exists() else package.parents[1] / "docs" / name
