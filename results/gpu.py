"""Measure speed and memory on a GPU, all that the project aims at: python results/gpu.py [--smoke].

Two published sizes with random weights, bfloat16, 4,000 visual tokens, a question of 32 tokens: nothing is
downloaded. It goes in parts of at most three minutes, the most telling first: each is a run of
``hermes bench`` whose document is stored at once as ``gpu_SIZE_PART.json`` in ``--out``, beside its figures.
What is there already is passed over, so that a measurement that was stopped goes on; a part that fails ends
alone, and is tried again the next time. ``--minutes`` begins no part that might end later. ``gpu_aims.json``
then says of every aim what was measured so far, whether it is met, and which parts failed. It takes a GPU
with 80 GB or more. ``--smoke`` runs the same with the embedded models on the processor, into another folder;
its figures mean nothing.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speed import FOLDER, bench

SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
SHARED = (
    *("--dtype", "bfloat16", "--budget-tokens", "4000", "--question-tokens", "32", "--size", "392"),
    "--defer-compressions",  # as a service does
)
PART_SECONDS = 180
GPU = {
    "length": ("--frames", "64,256,4096", "--policies", "hermes"),
    "arrival": ("--frames", "64,256", "--policies", "hermes", "--chunk-frames", "1"),
    "streams": (
        *("--streams", "8,16", "--streams-per-block", "16"),
        *("--policies", "hermes", "--seconds", "5"),
    ),
    # Each block's answers read all weights apart.
    "streams_64": (
        *("--streams", "64", "--streams-per-block", "64"),
        *("--policies", "hermes", "--seconds", "10"),
    ),
    "rivals": ("--frames", "256", "--max-seconds", "10"),
}
SMOKE = {
    "length": ("--frames", "4,256,320", "--policies", "hermes", "--repeats", "3"),
    "arrival": ("--frames", "16,32", "--policies", "hermes", "--chunk-frames", "1", "--repeats", "3"),
    "streams": ("--streams", "1,8,16", "--policies", "hermes", "--seconds", "1"),
    "streams_64": ("--streams", "32", "--policies", "hermes", "--seconds", "1"),
    "rivals": ("--frames", "256", "--repeats", "3", "--max-seconds", "5", "--new-tokens", "2"),
}
LAST = ("rivals",)
"""Parts that come behind all other parts of all sizes."""

Documents = Mapping[str, Mapping[str, Any]]


def parts(sizes: Sequence[str]) -> list[tuple[str, str]]:
    """Return sizes and parts in the order in which they are measured."""
    first = [name for name in GPU if name not in LAST]
    return [(size, name) for names in (first, LAST) for size in sizes for name in names]


def measure(
    folder: Path, *, smoke: bool, only: Sequence[str], seconds: float
) -> tuple[dict[str, Documents], dict[str, str]]:
    """Run what is not there yet; return all documents by size and part, and what failed.

    Args:
        folder: where documents and figures are.
        smoke: the embedded models, on the processor.
        only: parts; none is all.
        seconds: no part begins that might end behind these.
    """
    models = {size: ("--random", size, *SHARED, "--device", "cuda") for size in SIZES}
    if smoke:
        models = {name: ("--model", name, "--device", "cpu") for name in ("tiny", "tiny-qwen")}
    began, failed, found = time.monotonic(), dict[str, str](), dict[str, dict[str, Any]]()
    for size, name in parts(list(models)):
        path = folder / f"gpu_{size}_{name}.json"
        has_time = time.monotonic() - began + PART_SECONDS <= seconds
        if not path.exists() and has_time and (not only or name in only):
            options = [*models[size], *(SMOKE if smoke else GPU)[name]]
            try:
                bench(options, path, None if smoke else folder, timeout_seconds=PART_SECONDS)
            except (subprocess.SubprocessError, OSError) as error:
                failed[f"{size} {name}"] = str(error)
        if path.exists():
            found.setdefault(size, {})[name] = json.loads(path.read_text(encoding="utf-8"))
    return found, failed


def aims(documents: Documents) -> Iterator[dict[str, Any]]:
    """Compare the parts of one size that were measured with what the project aims at."""
    at = {
        name: {(run["policy"], run["num_frames"]): run for run in document.get("runs", ())}
        for name, document in documents.items()
    }
    if "length" in at:
        yield from length_aims([own for (policy, _), own in at["length"].items() if policy == "hermes"])
    if "arrival" in at:
        arrival = at["arrival"]["hermes", max(count for _, count in at["arrival"])]
        yield aim("seconds from a frame's arrival, one a chunk", arrival["ttft_from_arrival_seconds"], 0.150)
    plain = at.get("rivals", {}).get(("reprefill", 256))
    if plain is not None:
        ratio = plain["ttft_over_hermes"]
        yield aim("TTFT of reprefill at 256 frames over that of hermes", ratio, 10, at_least=True)
    for name in ("streams", "streams_64"):
        if name in documents:
            yield from streams_aims(documents[name])


def length_aims(lengths: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Compare the runs of our memory, from the shortest stream to the longest."""
    shortest, middle, longest = lengths
    flat = longest["ttft_seconds"] / shortest["ttft_seconds"]
    yield aim("TTFT at the longest stream over the shortest", flat, 1.05)
    yield aim("TTFT over its roofline", middle["ttft_seconds"] / middle["floor_ttft_seconds"], 2)
    token = middle["seconds_per_token"] / middle["floor_seconds_per_token"]
    yield aim("time per token over its roofline", token, 1.5)
    yield aim("GiB above the weights, beside captured forwards", longest["peak_bytes"] / 2**30, 0.8)
    yield aim("bytes more at the longest than at 256", longest["peak_bytes"] - middle["peak_bytes"], 0)
    stages = longest["ingest_seconds_per_frame"]
    share = stages["compress"] / sum(seconds or 0 for seconds in stages.values())
    yield aim("share of ingest that compression takes, one stream", share, 0.06)


def streams_aims(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Compare the runs with many streams."""
    roofline, rows = document["floor"], {row["num_streams"]: row for row in document["streams"]}
    if 8 in rows:
        share = rows[8]["compress_share"]
        yield aim("share of ingest that compression takes, 8 streams", share, 0.03)
    if 16 in rows:
        tokens = roofline["tokens_per_picture"]
        per_frame = 2 * roofline["decoder_parameters"] * tokens + roofline["encode_operations"]
        share = rows[16]["fps_total"] * per_frame / roofline["operations_per_second"]
        yield aim("share of matrix throughput at ingest, 16 streams", share, 0.4, at_least=True)
    count = max(rows)
    yield aim(f"{count} streams at one frame a second keep up", rows[count]["keeps_up"], 1, at_least=True)
    if (ttft := rows[count]["ttft_p99_seconds"]) is not None:
        yield aim(f"TTFT, 99th percentile, {count} streams", ttft, 0.250)


def aim(name: str, measured: float, limit: float, *, at_least: bool = False) -> dict[str, Any]:
    """Say what was aimed at, what was measured, and whether it is met."""
    met = measured >= limit if at_least else measured <= limit
    return {"aim": name, "at_least" if at_least else "at_most": limit, "measured": measured, "met": met}


def main() -> None:
    """Measure, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="the embedded models, on the processor")
    parser.add_argument("--out", type=Path, help="default: this folder, or .smoke with --smoke")
    parser.add_argument("--only", nargs="+", choices=list(GPU), default=(), help="parts; default: all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no part that might end later")
    given = parser.parse_args()
    folder = given.out or (FOLDER / ".smoke" if given.smoke else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    found, failed = measure(folder, smoke=given.smoke, only=given.only, seconds=60 * given.minutes)
    report = {size: list(aims(documents)) for size, documents in found.items()}
    document = {"sizes": report, "failed": failed}
    (folder / "gpu_aims.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, why in failed.items():
        sys.stderr.write(f"{name} failed: {why}\n")
    for size, own in report.items():
        sys.stdout.write(f"\n{size}\n")
        for one in own:
            bound = f"at most {one['at_most']:g}" if "at_most" in one else f"at least {one['at_least']:g}"
            verdict = "met" if one["met"] else "MISSED"
            sys.stdout.write(f"  {verdict:6}  {one['aim']}: {one['measured']:.4g} ({bound})\n")


if __name__ == "__main__":
    main()
