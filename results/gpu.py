"""Measure speed and memory on a GPU, all that the project aims at: python results/gpu.py [--smoke].

Two published sizes with random weights, bfloat16, 4,000 visual tokens, a question of 32 tokens: nothing is
downloaded. Each run of ``hermes bench`` stores its document as ``gpu_NAME.json``; ``gpu_aims.json`` then says
of every aim what was measured and whether it is met. Runs whose document is there already are passed over, so
that a stopped measurement goes on. It takes a GPU with 80 GB or more. ``--smoke`` runs the same from end to
end with the embedded models on the processor, in minutes, into another folder; its figures mean nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speed import FOLDER, PICTURES, bench

SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
SHARED = ("--dtype", "bfloat16", "--budget-tokens", "4000", "--question-tokens", "32", "--size", "392")
GPU = {
    "length": ("--frames", "64,256,4096", "--policies", "hermes,window"),
    "arrival": ("--frames", "64,256", "--policies", "hermes", "--chunk-frames", "1"),
    "rivals": ("--frames", "16,64,256,1024", "--max-seconds", "120"),
    "streams": ("--streams", "1,8,16,64", "--policies", "hermes", "--seconds", "60"),
}
SMOKE = {
    "length": ("--frames", "4,256,320", "--policies", "hermes,window", "--repeats", "3"),
    "arrival": ("--frames", "16,32", "--policies", "hermes", "--chunk-frames", "1", "--repeats", "3"),
    "rivals": ("--frames", "4,256", "--repeats", "3", "--max-seconds", "5", "--new-tokens", "2"),
    "streams": ("--streams", "1,8,16", "--policies", "hermes", "--seconds", "1"),
}

Documents = Mapping[str, Mapping[str, Any]]


def measure(folder: Path, *, smoke: bool) -> dict[str, Documents]:
    """Run what is not there yet, and return all documents by size and run."""
    models = {size: ("--random", size, *SHARED, "--device", "cuda") for size in SIZES}
    if smoke:
        models = {name: ("--model", name, "--device", "cpu") for name in ("tiny", "tiny-qwen")}
    found: dict[str, dict[str, Any]] = {}
    for size, shared in models.items():
        for name, options in (SMOKE if smoke else GPU).items():
            path = folder / f"gpu_{size}_{name}.json"
            if not path.exists():
                bench([*shared, *options], path, None if smoke else PICTURES)
            found.setdefault(size, {})[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def aims(documents: Documents) -> Iterator[dict[str, Any]]:
    """Compare the runs of one size with what the project aims at."""
    at = {
        name: {(run["policy"], run["num_frames"]): run for run in document["runs"]}
        for name, document in documents.items()
    }
    lengths = [own for (policy, _), own in at["length"].items() if policy == "hermes"]
    shortest, middle, longest = lengths
    arrival = at["arrival"]["hermes", max(count for _, count in at["arrival"])]
    yield aim(
        "TTFT at the longest stream over the shortest",
        longest["ttft_seconds"] / shortest["ttft_seconds"],
        1.05,
    )
    yield aim("TTFT over its roofline", middle["ttft_seconds"] / middle["floor_ttft_seconds"], 2)
    token = middle["seconds_per_token"] / middle["floor_seconds_per_token"]
    yield aim("time per token over its roofline", token, 1.5)
    yield aim("seconds from a frame's arrival, one a chunk", arrival["ttft_from_arrival_seconds"], 0.150)
    yield aim("GiB above the weights, chunks of 16", longest["peak_bytes"] / 2**30, 0.8)
    yield aim("bytes more at 4,096 frames than at 256", longest["peak_bytes"] - middle["peak_bytes"], 0)
    plain = at["rivals"].get(("reprefill", 256))
    if plain is not None:
        yield aim(
            "TTFT of reprefill at 256 frames over that of hermes",
            plain["ttft_over_hermes"],
            10,
            at_least=True,
        )
    stages = longest["ingest_seconds_per_frame"]
    share = stages["compress"] / sum(seconds or 0 for seconds in stages.values())
    yield aim("share of ingest that compression takes, one stream", share, 0.06)
    yield from streams_aims(documents["streams"])


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
    arguments = parser.parse_args()
    folder = arguments.out or (FOLDER / ".smoke" if arguments.smoke else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    found = measure(folder, smoke=arguments.smoke)
    report = {size: list(aims(documents)) for size, documents in found.items()}
    (folder / "gpu_aims.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for size, own in report.items():
        sys.stdout.write(f"\n{size}\n")
        for one in own:
            bound = f"at most {one['at_most']:g}" if "at_most" in one else f"at least {one['at_least']:g}"
            verdict = "met" if one["met"] else "MISSED"
            sys.stdout.write(f"  {verdict:6}  {one['aim']}: {one['measured']:.4g} ({bound})\n")


if __name__ == "__main__":
    main()
