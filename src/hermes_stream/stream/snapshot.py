"""A stream's memory in one safetensors file: written whole or not at all, and believed only after checks."""

from __future__ import annotations

import hashlib
import json
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hermes_stream.errors import OtherModelError, SnapshotError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.models.base import VideoModel
from hermes_stream.models.identity import ModelIdentity
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.saved import Saved
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.replacing import replace_file
from hermes_stream.stream.stream import Stream

FORMAT = "hermes-stream snapshot"
FORMAT_VERSION = 1
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 100_000_000
_OLDER = "take an older snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSummary:
    """What a snapshot says about itself.

    Attributes:
        model_name: what its model was loaded by.
        policy: class of what its memory keeps.
        num_frames: of the stream, those included that waited.
        newest_seconds: time of the newest; None before the first.
        num_changes: of the stream so far; a journal goes on behind them.
        written_at: seconds since 1970.
    """

    model_name: str
    policy: str
    num_frames: int
    newest_seconds: float | None
    num_changes: int
    written_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A stream at one moment, in host memory of its own.

    Attributes:
        model: which model it is of.
        options: what the stream was made with, as values of JSON.
        state: all that it was.
        written_at: seconds since 1970.
    """

    model: ModelIdentity
    options: Mapping[str, Any]
    state: Saved
    written_at: float

    @classmethod
    def of(cls, stream: Stream) -> Snapshot:
        """Copy a stream, in which no question is in hand.

        Raises:
            SnapshotError: its policy or filter has fields that no file can hold.
        """
        return cls(
            model=stream.model.identity,
            options=stream.options.plain(),
            state=stream.saved().copied(),
            written_at=time.time(),
        )

    @property
    def summary(self) -> SnapshotSummary:
        """What the snapshot says about itself."""
        intake, folding = self.state.part("intake"), self.state.part("folding")
        policy = self.options.get("policy")
        return SnapshotSummary(
            model_name=self.model.name,
            policy=str(policy.get("class")) if isinstance(policy, dict) else "unknown",
            num_frames=folding.integer("num_frames") + intake.part("waiting").integer("num_frames"),
            newest_seconds=intake.number("newest_seconds") if intake.has("newest_seconds") else None,
            num_changes=self.state.integer("num_changes"),
            written_at=self.written_at,
        )

    @property
    def num_frames(self) -> int:
        """Frames of the stream, those included that waited."""
        return self.summary.num_frames

    @property
    def newest_seconds(self) -> float | None:
        """Time of the newest frame; None before the first."""
        return self.summary.newest_seconds

    @property
    def num_changes(self) -> int:
        """Changes of the stream so far; a journal goes on behind them."""
        return self.state.integer("num_changes")

    def to_bytes(self) -> bytes:
        """Return the content of a file, for whatever keeps files."""
        tensors = self.state.flat_tensors()
        document = json.dumps(
            {
                "model": asdict(self.model),
                "options": self.options,
                "state": self.state.plain_values(),
                "written_at": self.written_at,
            },
            allow_nan=False,
        )
        metadata = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "document": document,
            "sha256": _digest(document, tensors),
        }
        return save(tensors, metadata)

    @classmethod
    def of_bytes(cls, content: bytes, name: str | Path) -> Snapshot:
        """Check that a file's content is whole, and return what it says.

        Args:
            content: of the file.
            name: of the file, for messages.

        Raises:
            SnapshotError: it is damaged, or of another format.
        """
        metadata = _metadata(name, content)
        try:
            tensors = load(content)
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
            raise SnapshotError(f"snapshot {name} is damaged ({error}); {_OLDER}") from error
        if _digest(metadata["document"], tensors) != metadata["sha256"]:
            raise SnapshotError(f"snapshot {name} is damaged: its checksum is another one; {_OLDER}")
        return _of_document(name, metadata["document"], tensors)

    def write(self, path: str | Path) -> Path:
        """Write one file, whole or not at all; any thread may.

        Args:
            path: of the file, in a folder that is there; what has this name is replaced.

        Raises:
            SnapshotError: it cannot be written.
        """
        path = Path(path)
        try:
            replace_file(path, self.to_bytes())
        except OSError as error:
            raise SnapshotError(
                f"snapshot {path} cannot be written: {error}; make room or choose another folder"
            ) from error
        return path

    @classmethod
    def read(cls, path: str | Path) -> Snapshot:
        """Read a file and check that it is whole.

        Raises:
            SnapshotError: it is missing, damaged, or of another format.
        """
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):
                raise OSError("it is no file; a device may have no end")
            content = Path(path).read_bytes()
        except OSError as error:
            raise SnapshotError(f"snapshot {path} cannot be read: {error}") from error
        return cls.of_bytes(content, path)

    def options_for(
        self,
        model: VideoModel,
        *,
        policy: MemoryPolicy | None = None,
        filter: TokenFilter | None = None,
    ) -> StreamOptions:
        """Return what a stream must be made with to go on from here.

        Args:
            model: that is to go on.
            policy: what the memory keeps, for a class that no name stands for.
            filter: what drops visual tokens, likewise.

        Raises:
            SnapshotError: the snapshot is another model's, or was made with another policy or filter.
        """
        own = model.identity
        if not own.is_same_as(self.model):
            part = "config" if own.config_sha256 != self.model.config_sha256 else "weights"
            raise OtherModelError(
                f"the snapshot is of model {_named(self.model)}, and {_named(own)} has another {part}; load "
                "the model that it was made with, in the same dtype"
            )
        return StreamOptions.of_plain(self.options, policy=policy, filter=filter)


@contextmanager
def refusing_options() -> Iterator[None]:
    """Let options that are out of their ranges be the snapshot's fault, where a stream is made with them.

    Raises:
        SnapshotError: they are.
    """
    try:
        yield
    except ValueError as error:
        raise SnapshotError(f"the snapshot's options make no stream: {error}; {_OLDER}") from error


def _named(model: ModelIdentity) -> str:
    return f"{model.name!r}" if model.revision is None else f"{model.name!r} at {model.revision}"


def _digest(document: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the checksum of all that a snapshot says."""
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _metadata(path: str | Path, content: bytes) -> dict[str, str]:
    """Return what stands in a safetensors file beside the tensors.

    Raises:
        SnapshotError: it is no such file, or none of ours.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        if not 0 < length <= min(len(content) - _LENGTH_BYTES, _MAX_HEADER_BYTES):
            raise ValueError("it is cut off, or no safetensors file")
        header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        metadata = header["__metadata__"]
        version = metadata["format_version"]
        if metadata["format"] != FORMAT or not all(
            isinstance(metadata[k], str) for k in ("document", "sha256")
        ):
            raise ValueError(f"its format is {metadata['format']!r}, not {FORMAT!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SnapshotError(f"{path} is no snapshot, or is damaged ({error}); {_OLDER}") from error
    if version != str(FORMAT_VERSION):
        raise SnapshotError(
            f"snapshot {path} has format version {version!r}, and this program reads {FORMAT_VERSION}; "
            "use the version of hermes-stream that wrote it"
        )
    return dict(metadata)


def _of_document(path: str | Path, text: str, tensors: Mapping[str, Tensor]) -> Snapshot:
    try:
        document = json.loads(text)
        model = ModelIdentity(**document["model"])
        snapshot = Snapshot(
            model=model,
            options=document["options"],
            state=Saved.of_plain(document["state"], tensors),
            written_at=float(document["written_at"]),
        )
        if not all(isinstance(one, str) for one in (model.name, model.config_sha256, model.weights_sha256)):
            raise ValueError("its model has no name")
        if not isinstance(snapshot.options, dict):
            raise ValueError("it has no options")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(f"snapshot {path} is damaged ({error}); {_OLDER}") from error
    return snapshot


def read_summary(path: str | Path) -> SnapshotSummary:
    """Return what a snapshot says about itself, its tensors unread and unchecked.

    Raises:
        SnapshotError: it is missing, of another format, or visibly damaged.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_LENGTH_BYTES)
            length = int.from_bytes(head, "little")
            head += file.read(min(length, _MAX_HEADER_BYTES))
    except OSError as error:
        raise SnapshotError(f"snapshot {path} cannot be read: {error}") from error
    return _of_document(path, _metadata(path, head)["document"], {}).summary
