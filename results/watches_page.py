"""Write tables of docs/watches.md from stored runs: python results/watches_page.py [--check].

A table stands between ``<!-- NAME PART -->`` and ``<!-- end -->``: NAME is a document in this folder, PART
says what of it is shown.
"""

import json
import math
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
    """Write F1 of each run, over all conditions and of each, and how far the first is above it."""
    runs, differences = document["runs"], document["f1_above"]
    first = next(iter(runs))
    names = list(runs[first]["by_condition"])
    head = ["memory", "**all**", "false an hour", *names, f"`{first}` above, all", "needs memory"]
    groups = ["all", "need_memory"]
    if "need_memory_at_first" in document:
        head, groups = [*head, "needs memory, at first"], [*groups, "need_memory_at_first"]
    rows = []
    for name, run in runs.items():
        low, high = run["intervals"]["f1"]
        beside = [above(differences[name][one]) if name in differences else "" for one in groups]
        scores = [f"{run['by_condition'][one]['f1']:.2f}" for one in names]
        all_of = f"{run['f1']:.2f} ({low:.2f} to {high:.2f})"
        rows.append([f"`{name}`", all_of, f"{run['false_alarms_per_hour']:.1f}", *scores, *beside])
    return table(head, rows)


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


def stretches(document: Document) -> str:
    """Write false alarms an hour where nothing happens, of each run, and the conditions that they are of."""
    head = ["run", "hours of watches", "false an hour in the stretch", "of which", "in all", "F1 of all"]
    rows = []
    for name, run in document["runs"].items():
        own, whole = run["stretch"], run["whole"]
        wrong = {one: of["num_false"] for one, of in own["by_condition"].items() if of["num_false"]}
        low, high = own["interval"]
        if not own["num_false"]:
            # no drawn story has any, so that the bootstrap knows no upper end; a Poisson process does
            high = -math.log(0.05) / own["watch_hours"]
        rows.append(
            [
                name,
                f"{own['watch_hours']:.1f}",
                f"{own['false_alarms_per_hour']:.2f} ({low:.2f} to {high:.2f})",
                ", ".join(f"{one} {count}" for one, count in wrong.items()) or "none",
                f"{whole['false_alarms_per_hour']:.2f}",
                f"{whole['f1']:.2f}",
            ]
        )
    return table(head, rows)


TABLES: dict[str, Callable[[Document], str]] = {
    "memories": memories,
    "stretches": stretches,
    "newest": lambda found: against(found, ["whole memory, F1", "newest 8 s, F1"]),
    "clearing": lambda found: against(found, ["before, F1", "now, F1"]),
}


def write(name: str, part: str) -> str:
    """Write one table."""
    return TABLES[part](json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    write_pages({PAGE: lambda page: filled(page, write)}, __doc__)
