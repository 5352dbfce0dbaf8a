"""A stream that is recorded and named again: what it goes on with, and whether its source is the same."""

from __future__ import annotations

from dataclasses import replace

from hermes_stream.errors import OtherOwnerError, StreamExistsError
from hermes_stream.service.shown import shown_source
from hermes_stream.service.source_opening import OpenedSource
from hermes_stream.service.stream_choices import OpenRequest, StreamChoices
from hermes_stream.service.stream_rows import StreamRow


def choices_again(row: StreamRow, new: StreamChoices, request: OpenRequest) -> StreamChoices:
    """Return what a recorded stream goes on with; refuse what does not fit its memory.

    Args:
        row: of the stream.
        new: what the request would open it with.
        request: names it.

    Raises:
        ValueError: the stream was opened with something else.
    """
    old = StreamChoices.read(row.options)
    for name in request.choices:
        if getattr(new, name) != getattr(old, name):
            raise ValueError(
                f"stream {row.name!r} was opened with {name}={getattr(old, name)!r}, and its memory goes "
                f"with it; got {getattr(new, name)!r}: leave it out, or delete the stream"
            )
    if request.source_options is not None:
        old = replace(old, source=new.source)
    if request.source is not None:
        old = replace(old, allow=new.allow, private_networks=new.private_networks)
    return old


def check_source(row: StreamRow, named: OpenedSource | None, *, replaces: bool) -> bool:
    """Tell whether a stream is to watch another source than before.

    Args:
        row: of the stream.
        named: the source that it is to watch; None where none is named.
        replaces: whether that is meant.

    Raises:
        StreamExistsError: it is not: the memory of one source would be taken for that of the other.
    """
    if named is None or row.source in (None, named.address):
        return False
    if not replaces:
        raise StreamExistsError(
            f"stream {row.name!r} has the source {shown_source(row.source)} and remembers what that showed, "
            f"not {shown_source(named.address)}; choose another name, delete the stream, or go on with its "
            "memory by replace_source"
        )
    return True


def check_owner(row: StreamRow, request: OpenRequest) -> None:
    """Check that whoever names a stream may change it.

    Args:
        row: of the stream.
        request: begins it again, or gives it a source.

    Raises:
        OtherOwnerError: it is another owner's.
    """
    if not (request.changes_others or row.owner == request.owner):
        raise OtherOwnerError(
            f"stream {row.name!r} was not opened with this key, which may neither begin it again nor give it "
            "another source; choose another name, or use the key that opened it or one with 'admin'"
        )
