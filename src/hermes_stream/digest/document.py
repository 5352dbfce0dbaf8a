"""A digest as one JSON document, ``hermes.digest/1``; docs/record.md says what each field means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

    def picture(one: Picture | None) -> str | None:
        return None if one is None else address_of(one)

    return {
        "schema": SCHEMA,
        "version": __version__,
        "source": digest.source,
        "is_file": digest.is_file,
        "model": digest.model,
        "policy": digest.policy,
        "from_seconds": _rounded(digest.from_seconds),
        "to_seconds": _rounded(digest.to_seconds),
        "zero_wall_seconds": digest.zero_wall_seconds,
        "summary": None
        if digest.summary is None
        else {"text": digest.summary.text, "made_from": digest.summary.made_from},
        "chapters": [
            {
                "start_seconds": _rounded(one.start_seconds),
                "end_seconds": _rounded(one.end_seconds),
                "newness": _rounded(one.newness),
                "text": one.text,
                "text_seconds": _rounded(one.text_seconds),
                "picture": picture(one.picture),
            }
            for one in digest.chapters
        ],
        "tags": [
            {"text": one.text, "spans": [[_rounded(a), _rounded(b)] for a, b in one.spans]}
            for one in digest.tags
        ],
        "incidents": [
            {
                "watch": one.watch,
                "question": one.question,
                "severity": one.severity,
                "started_seconds": _rounded(one.started_seconds),
                "ended_seconds": _rounded(one.ended_seconds),
                "score": _rounded(one.score),
                "picture": picture(one.picture),
            }
            for one in digest.incidents
        ],
        "events": [
            {
                "id": one.id,
                "kind": one.kind,
                "stream_seconds": _rounded(one.stream_seconds),
                "wall_seconds": one.wall_seconds,
                "text": one.text,
                "score": _rounded(one.score),
                "picture": picture(one.picture),
            }
            for one in digest.events
        ],
        "answers": [
            {
                "question": one.question,
                "answer": one.answer,
                "stream_seconds": _rounded(one.stream_seconds),
                "confidence": _rounded(one.confidence),
                "picture": picture(one.picture),
            }
            for one in digest.answers
        ],
        "counts": dict(digest.counts),
        "newness": [[_rounded(seconds), _rounded(value)] for seconds, value in digest.newness],
        "is_cut": digest.is_cut,
    }


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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
