"""Write tables of docs/watches.md from stored runs: python results/watches_page.py [--check].

A table stands between ``<!-- NAME PART -->`` and ``<!-- end -->``: NAME is a document in this folder, PART
says what of it is shown.
"""

import json
from collections.abc import Callable
from typing import Any

from tables import FOLDER, filled, table, write_pages

PAGE = FOLDER.parent / "docs" / "watches.md"
Document = dict[str, Any]


def above(one: Document) -> str:
    """Write a difference of F1, with its interval."""
    return f"{one['value']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f})"


def conditions(run: Document) -> dict[str, Document]:
    """Return the scores of a run over all conditions, and of each."""
    return {"all": run, **run["by_condition"]}


def memories(document: Document) -> str:
    """Write F1 of each run by condition, how far the first is above each other, and what was false."""
    runs = {name: conditions(run) for name, run in document["runs"].items()}
    first, *others = runs
    head = ["condition", *(f"`{name}`" for name in runs), *(f"above `{name}`" for name in others)]
    rows = [
        [
            "**all**" if condition == "all" else condition,
            *(f"{run[condition]['f1']:.2f}" for run in runs.values()),
            *(above(document["f1_above"][name][condition]) for name in others),
        ]
        for condition in runs[first]
    ]
    false = [f"{run['all']['false_alarms_per_hour']:.1f}" for run in runs.values()]
    return table(head, [*rows, ["false alarms an hour", *false, *("" for _ in others)]])


def against(document: Document, head: list[str]) -> str:
    """Write what the first of two runs tells against the second, condition by condition."""
    (own, other), (difference,) = map(conditions, document["runs"].values()), document["f1_above"].values()
    rows = [
        [
            "**all**" if name == "all" else name,
            f"{other[name]['f1']:.2f}",
            f"{one['f1']:.2f}",
            above(difference[name]),
            f"{one['precision']:.2f}",
            f"{one['recall']:.2f}",
            f"{other[name]['false_alarms_per_hour']:.1f}, {one['false_alarms_per_hour']:.1f}",
        ]
        for name, one in own.items()
    ]
    columns = ["difference", "precision", "recall", "false an hour, both"]
    return table(["condition", *head, *columns], rows)


TABLES: dict[str, Callable[[Document], str]] = {
    "memories": memories,
    "newest": lambda found: against(found, ["whole memory, F1", "newest 8 s, F1"]),
    "clearing": lambda found: against(found, ["before, F1", "now, F1"]),
}


def write(name: str, part: str) -> str:
    """Write one table."""
    return TABLES[part](json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    write_pages({PAGE: lambda page: filled(page, write)}, __doc__)
