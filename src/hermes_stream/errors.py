"""Every error that the package raises on purpose.

::

    HermesError
    ├── VideoError            a source cannot be opened, decoded or written
    │   └── SourceRefusedError    the policy of sources does not allow its address
    ├── ModelError            a checkpoint cannot be loaded or used
    │   └── UnknownFamilyError    its architecture has no adapter
    ├── DeviceError           a device or dtype that this machine does not have
    ├── CapacityError         more tokens than a stream's buffers or positions hold
    ├── PolicyError           a policy of another package planned what no memory can follow
    ├── BrokenMemoryError     a stream's memory was left half moved
    ├── ThreadError           a call from a thread that may not call
    ├── SnapshotError         a memory on disk cannot be read or written, or is another model's
    │   └── OtherModelError       it is another model's
    ├── AnnotationError       annotations cannot be read or written, or their videos are not found
    ├── WorkerError           a program that shares a run ended before its time
    ├── JudgeError            the endpoint that judges open answers gives no judgement
    ├── ServiceError          a service cannot do what was asked
    │   ├── SettingsError         an option is unknown or its value is not accepted
    │   ├── UnknownStreamError    there is no stream of that name
    │   ├── UnknownSnapshotError  there is no such snapshot of a stream
    │   ├── UnknownPictureError   there is no such picture, or no more
    │   ├── UnknownKeyError       there is no key of that number
    │   ├── UnknownWatchError     a stream has no watch of that number or name
    │   ├── UnknownIncidentError  there is no such incident, or no more
    │   ├── UnknownWebhookError   there is no webhook of that number
    │   ├── StreamExistsError     a stream of that name is open already, with another source
    │   ├── OtherOwnerError       a stream was opened with another key
    │   ├── WatchExistsError      a stream has another watch of that name
    │   ├── OverloadedError       too much is asked at once; says when to try again
    │   ├── ClosedError           the service or the stream is closed, or the engine has failed
    │   │   └── NotOwnerError         another replica has the stream, or is about to; try again
    │   └── StoreError            the record cannot be opened, read or written
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


class SourceRefusedError(VideoError):
    """The policy of sources does not allow an address; names the address, without user name and password."""


class ModelError(HermesError):
    """A checkpoint cannot be loaded or used; names the checkpoint and what is missing."""


class UnknownFamilyError(ModelError):
    """The checkpoint's architecture has no adapter; names those that exist."""


class DeviceError(HermesError):
    """The device or dtype asked for is not available here."""


class CapacityError(HermesError):
    """A prompt or chunk does not fit the stream's buffers or the model's positions; gives the numbers."""


class PolicyError(HermesError):
    """A policy of another package planned what no memory can follow; names the policy and what is wrong."""


class BrokenMemoryError(HermesError):
    """A stream's memory was left half moved by a failure, and is not read any more; names the failure."""


class ThreadError(HermesError):
    """An engine or one of its streams was called from a thread that does not own it; names both threads."""


class SnapshotError(HermesError):
    """A memory on disk is damaged, of another format or model, or cannot be written; says which and why."""


class OtherModelError(SnapshotError):
    """A memory on disk is another model's; names both."""


class AnnotationError(HermesError):
    """Annotations cannot be read or written, or their video is not found; names the file and the entry."""


class WorkerError(HermesError):
    """A program that shares a run ended before its time; names what ended it, and what is kept."""


class JudgeError(HermesError):
    """The endpoint that judges open answers refuses or does not answer; names the address and the reason."""


class ServiceError(HermesError):
    """A service cannot do what was asked; root of its own errors."""


class SettingsError(ServiceError):
    """An option is unknown, or its value is not accepted; names it, where it was set and what is accepted."""


class UnknownStreamError(ServiceError):
    """There is no stream of that name; names those that there are."""


class UnknownSnapshotError(ServiceError):
    """There is no such snapshot of a stream; names those that there are."""


class UnknownPictureError(ServiceError):
    """There is no such picture, or no more."""


class UnknownKeyError(ServiceError):
    """There is no key of that number."""


class UnknownWatchError(ServiceError):
    """A stream has no watch of that number or name; names those that it has."""


class UnknownIncidentError(ServiceError):
    """There is no such incident, or no more."""


class UnknownWebhookError(ServiceError):
    """There is no webhook of that number."""


class StreamExistsError(ServiceError):
    """A stream of that name is open already; says what to do."""


class OtherOwnerError(ServiceError):
    """A stream was opened with another key, and would be changed; says which key may."""


class WatchExistsError(ServiceError):
    """A stream has another watch of that name; says what to do."""


class OverloadedError(ServiceError):
    """Too much waits already; nothing was done.

    Attributes:
        retry_after_seconds: when there may be room.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ClosedError(ServiceError):
    """The service or the stream takes no more work; says why."""


class NotOwnerError(ClosedError):
    """Another replica has a stream, or nobody for now; the next try may find its owner."""


class StoreError(ServiceError):
    """The record of a service cannot be opened, read or written; names it and the reason."""


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
