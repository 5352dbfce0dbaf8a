"""A digest as one JSON document, ``hermes.digest/1``; docs/record.md says what each field means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hermes_stream._version import __version__
from hermes_stream.digest.values import Digest, Picture

SCHEMA = "hermes.digest/1"
REPORT_SCHEMA = "hermes.report/1"
AddressOf = Callable[[Picture], str | None]
_DECIMALS = 3


def digest_document(digest: Digest, address_of: AddressOf) -> dict[str, Any]:
    """Return a digest as JSON values.

    Args:
        digest: the digest.
        address_of: says where a picture is to be had; None leaves it out.
    """
    return {"schema": SCHEMA, "version": __version__, **_plain(digest, address_of)}


def report_document(
    digests: Sequence[Digest],
    address_of: AddressOf,
    *,
    from_wall_seconds: float,
    to_wall_seconds: float,
) -> dict[str, Any]:
    """Return what happened on several streams as JSON values.

    Args:
        digests: of each stream.
        address_of: says where a picture is to be had.
        from_wall_seconds: where the report begins, seconds since 1970.
        to_wall_seconds: where it ends.
    """
    counts: dict[str, int] = {}
    for digest in digests:
        for kind, count in digest.counts.items():
            counts[kind] = counts.get(kind, 0) + count
    return {
        "schema": REPORT_SCHEMA,
        "version": __version__,
        "from": from_wall_seconds,
        "to": to_wall_seconds,
        "counts": counts,
        "num_incidents": sum(len(digest.incidents) for digest in digests),
        "streams": [digest_document(digest, address_of) for digest in digests],
    }


def _plain(value: Any, address_of: AddressOf) -> Any:
    """Return a value of a digest as JSON has it; the fields' names are the document's."""
    if isinstance(value, Picture):
        return address_of(value)
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name), address_of) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(one, address_of) for one in value]
    if isinstance(value, Mapping):
        return dict(value)
    return round(value, _DECIMALS) if isinstance(value, float) else value
