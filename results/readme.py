"""Write the tables of README.md and docs/models.md from stored results: python results/readme.py [--check].

A table stands between ``<!-- NAME ARGUMENT -->`` and ``<!-- end -->``.
"""

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any

from evidence import comparison
from tables import FOLDER, filled, ours, percent, table, write_pages

FIRST_SIZES = {
    "smolvlm2-256m": "the smallest: shows that all works; expect rough answers",
    "llava-onevision-0.5b": "a laptop; {frame_seconds} s a frame in its decoder, on a new core; in the paper",
    "smolvlm2-2.2b": "a laptop with memory to spare, or a small GPU",
    "qwen2.5-vl-3b": "a GPU of 12 GB; frames keep their shape",
    "qwen2.5-vl-7b": "a GPU of 24 GB; in the paper",
}


def read(name: str) -> dict[str, Any]:
    """Read a stored document."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def size(num_bytes: float) -> str:
    """Write bytes with two or three digits."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def first_models(_: str) -> str:
    """Write which published checkpoints to begin with."""
    sizes, speed = read("published")["sizes"], read("cpu_speed")
    (seconds,) = (
        run["frame"]["median_processor_seconds"]
        for run in speed["runs"]
        if (run["instructions"], run["way"]) == ("all", "bfloat16")
    )
    lines = [
        [
            f"`{sizes[name]['hub_name']}`",
            *_takes(sizes[name]),
            expected.format(frame_seconds=f"{seconds:.1f}"),
        ]
        for name, expected in FIRST_SIZES.items()
    ]
    return table(["`--model`", "weights", "one stream", "what to expect"], lines)


def published(_: str) -> str:
    """Write what every published size takes."""
    lines = [[f"`{one['hub_name']}`", *_takes(one)] for one in read("published")["sizes"].values()]
    return table(["`--model`", "weights", "one stream"], lines)


def _takes(one: dict[str, Any]) -> list[str]:
    return [size(one["weight_bytes"]), size(one["stream_bytes"])]


def families(_: str) -> str:
    """Write what the sizes of each family have in common."""
    lines = []
    for family, group in groupby(read("published")["sizes"].items(), key=lambda item: item[1]["model_type"]):
        named = dict(group)
        kibibytes = [f"{one['kv_bytes_per_token'] / 1024:g}" for one in named.values()]
        tokens = [str(one["tokens_per_temporal_patch"] or "by its size") for one in named.values()]
        one = next(iter(named.values()))
        lines.append(
            [
                f"`{family}`",
                ", ".join(name.rpartition("-")[2] for name in named),
                f"{', '.join(kibibytes)} KiB",
                ", ".join(dict.fromkeys(tokens)),
                f"{one['fps']:g}",
                f"{one['max_positions']:,}",
            ]
        )
    head = ["family", "sizes", "KV per token", "visual tokens a frame", "frames a second", "positions"]
    return table(head, lines)


def measured(_: str) -> str:
    """Write the three figures that matter, each beside its limits."""
    rows = {row["policy"]: row for row in comparison("tiny", "long")["scores"]}
    past = {policy: row["accuracy_by_group"]["backward"] for policy, row in rows.items()}
    counting = {policy: row["accuracy_by_group"]["counting"] for policy, row in rows.items()}
    runs = {run["num_frames"]: run for run in ours(read("length")["runs"])}
    speed = {(run["policy"], run["num_frames"]): run for run in read("speed_tiny")["runs"]}
    longest = max(runs)
    peaks = {run["peak_bytes"] for run in ours(list(speed.values()))}
    (tokens,) = {rows[name]["num_visual_tokens_kept"] for name in ("hermes", "hermes_paper")}
    counted = {name: f"{100 * counting[name]['accuracy']:.0f}" for name in ("hermes", "hermes_paper")}
    large = {run["num_frames"]: run for run in read("gpu_llava-onevision-7b_length")["runs"]}
    first_token = large[longest]["ttft_seconds"] * 1e3
    lines = [
        [
            f"right about the past, from {tokens} tokens a layer",
            f"`hermes` {percent(past['hermes'])}, `hermes_paper` {percent(past['hermes_paper'])}, "
            f"`window` {percent(past['window'])}, a guesser {100 * past['hermes']['chance']:.0f}",
            "one generated world, a model of its own; in counting `hermes` has "
            f"{counted['hermes']}, `hermes_paper` {counted['hermes_paper']}",
        ],
        [
            f"first token after {longest:,} frames, over that after 64",
            f"{runs[longest]['ttft_over_64_frames']:.3f}; the plain model, all frames read when asked, takes "
            f"{speed['reprefill', 1024]['ttft_over_hermes']:.0f} times as long after 1,024",
            f"a small model on two CPU cores; with 7B on an H200 "
            f"{large[longest]['ttft_over_64_frames']:.3f}, {first_token:.0f} ms",
        ],
        [
            "bytes at the peak, beside the weights",
            f"{', '.join(f'{peak:,}' for peak in sorted(peaks))}, after 16 frames and after {longest:,}",
            "the same; three published sizes ran, with random weights",
        ],
    ]
    return table(["what", "measured", "limits"], lines)


TABLES: dict[str, Callable[[str], str]] = {
    "first_models": first_models,
    "published": published,
    "families": families,
    "measured": measured,
}
PAGES = (FOLDER.parent / "README.md", FOLDER.parent / "docs" / "models.md")


def fill(page: str) -> str:
    """Return the page with all its tables written anew."""
    return filled(page, lambda name, argument: TABLES[name](argument))


if __name__ == "__main__":
    write_pages(dict.fromkeys(PAGES, fill), __doc__)
