"""What all replicas say, as one answer: streams, capacity, metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?( .+)$")
_SUMMED = ("num_streams", "max_streams", "more_streams", "memory_bytes", "used_bytes")
_SUMMED_QUESTIONS = ("num_open_questions", "max_open_questions")


def merged_streams(
    listings: Iterable[Mapping[str, Any]], unowned: Sequence[str], *, closed: bool
) -> dict[str, Any]:
    """Return one list of streams.

    A stream that two replicas list while it moves is shown by the later epoch; a closed one is listed by all.

    Args:
        listings: of the replicas.
        unowned: streams that nobody has at the moment.
        closed: whether closed streams are listed.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for listing in listings:
        for one in listing["data"]:
            known = found.get(one["name"])
            if known is None or _rank(one) > _rank(known):
                found[one["name"]] = one
    for name in unowned:
        if found.get(name, {}).get("state") in (None, "closed"):
            reason = "it is on its way to another replica"
            found[name] = {"name": name, "state": "waiting", "reason": reason, "replica": None}
    shown = [one for _, one in sorted(found.items()) if closed or one["state"] != "closed"]
    return {"object": "list", "data": shown}


def _rank(stream: Mapping[str, Any]) -> tuple[bool, int]:
    return stream["state"] != "closed", stream["epoch"]


def merged_capacity(parts: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return what all replicas hold together, and each by its name."""
    whole: dict[str, Any] = {}
    for name in (*_SUMMED, *_SUMMED_QUESTIONS):
        values = [part[name] for _, part in parts]
        whole[name] = None if None in values else sum(values)
    first = parts[0][1] if parts else {}
    limits = "; ".join(f"{name}: {part['limit']}" for name, part in parts)
    shares = [part["busy_share"] for _, part in parts]
    return {
        **first,
        **whole,
        "limit": limits,
        "busy_share": max(shares, default=0.0),
        "replicas": [{"replica": name, **part} for name, part in parts],
    }


def merged_metrics(parts: Iterable[tuple[str, str]]) -> str:
    """Return one page of metrics, each sample labelled with its replica.

    Args:
        parts: name of a replica, and its page as Prometheus reads it.
    """
    families: dict[str, list[str]] = {}
    for replica, page in parts:
        family = ""
        for line in page.splitlines():
            if line.startswith("# "):
                family = line.split(" ")[2]
                heading = families.setdefault(family, [])
                if line not in heading:
                    heading.append(line)
            elif found := _SAMPLE.match(line):
                label = f'replica="{replica}"'
                inside = (found[2] or "{}")[1:-1]
                labels = f"{{{inside},{label}}}" if inside else f"{{{label}}}"
                families.setdefault(family, []).append(f"{found[1]}{labels}{found[3]}")
    return "".join(f"{line}\n" for lines in families.values() for line in lines)
