"""Write the tables of docs/operations.md from stored results: python results/operations.py [--check]."""

import json
from collections.abc import Callable
from typing import Any

from tables import FOLDER, filled, table, write_page


def read(name: str) -> dict[str, Any]:
    """Read a stored document."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def megabytes(num_bytes: float) -> str:
    """Write bytes as whole MB."""
    return f"{num_bytes / 1e6:.0f}"


def memory() -> str:
    """Write what a service takes with each number of streams."""
    head = [
        "settings",
        "streams",
        "at the start",
        "watching",
        "after questions",
        "of its own",
        "peak",
        "dropped",
    ]
    names = (
        "start_resident_bytes",
        "watching_resident_bytes",
        "resident_bytes",
        "anonymous_bytes",
        "peak_bytes",
    )
    rows = [
        [
            run["profile"],
            str(run["num_streams"]),
            *(megabytes(run[name]) for name in names),
            f"{run['num_dropped_frames']} of {run['num_sent']}",
        ]
        for run in read("serve_memory")["runs"]
    ]
    return table(head, rows)


def summary() -> str:
    """Write what a stream adds, from the fewest to the most streams of the default settings."""
    runs = [run for run in read("serve_memory")["runs"] if run["profile"] == "default"]
    least, most = min(runs, key=lambda run: run["num_streams"]), max(runs, key=lambda run: run["num_streams"])
    added = (most["resident_bytes"] - least["resident_bytes"]) / (most["num_streams"] - least["num_streams"])
    each = f"{added / 1e6:.1f} MB here, {most['cache_bytes_per_stream'] / 1e6:.1f} of them its buffers"
    return f"A stream more takes {each} for keys and values."


def aarch64() -> str:
    """Write what pip would install on such a machine."""
    found = read("platforms")
    own = [file.partition("-")[0] for file in found["wheels_of_the_platform"]]
    return (
        f"**linux aarch64** (glibc 2.28, Python 3.11): all {found['num_distributions']} distributions of "
        f"`[server,mcp]` in the tested versions have wheels, none must be built. "
        f"{found['num_for_any_machine']} are for any machine, {len(own)} for this one ({', '.join(own)}), "
        f"and {len(found['for_a_gpu'])} are what torch's wheel on PyPI brings for CUDA "
        "([results/platforms.json](../results/platforms.json), made by `results/platforms.py`)."
    )


PARTS: dict[str, Callable[[], str]] = {"table": memory, "summary": summary, "aarch64": aarch64}


def fill(page: str) -> str:
    """Return the page with its tables written anew."""
    return filled(page, lambda _, part: PARTS[part]())


if __name__ == "__main__":
    write_page(FOLDER.parent / "docs" / "operations.md", fill, __doc__)
