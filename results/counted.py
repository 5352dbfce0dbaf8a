"""Count kernels, bytes and waits: python results/counted.py [--part PART] [--out FOLDER] [--smoke].

``counted.json`` holds what ``hermes bench --count`` says of both embedded models, ``counted_text.json`` of
a true shape with text between its frames, ``counted_7b.json`` what it would say of a model with as many
layers and key-value heads as LLaVA-OneVision 7B, narrow elsewhere: what a compression launches, and how
many bytes of keys and values it moves, do not depend on that. ``counted_tokens.json`` holds what a token of
many streams' answers asks of a device beside the forward. No clock is read: it is the same on any machine
without a GPU, which takes other paths for a few things. ``--smoke`` counts small pictures with one model,
and two layers; it leaves the true shape out.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import FOLDER, hermes, machine

POLICIES = ("window", "hermes", "hermes_paper")
WITH_TEXT = "smolvlm2-256m"
STREAMS = (1, 4, 16, 64)
LAUNCH_SECONDS = 5e-6
BYTES_PER_SECOND = 3e12
# 16 frames at 7B: 48 TFLOP of matrices, 7 of attention, 12 of the vision tower, at 400 TFLOP/s.
CHUNK_SECONDS = 67 / 400


def seven_b(num_layers: int = 28, chunk_frames: int = 16, budget_tokens: int = 4000) -> list[dict[str, Any]]:
    """Count with 28 layers of 4 key-value heads, 4,000 tokens, chunks of 16 frames of 196."""
    from hermes_lab.bench.counted import count_run
    from hermes_lab.bench.workload import make_workload, without_stop_tokens
    from hermes_lab.training import random_weights, shapes
    from hermes_stream.policies.named import choose_policy

    text = shapes.TextShape(num_layers, 256, 512, 4, 4, 128, 300, 32768)
    shape = shapes.ModelShape("7b-narrow", "llava_onevision", "none/none", 1, text)
    config = shapes.build_config(shape)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 26, "num_attention_heads": 2}
    config.vision_config.update(tower)
    shapes.SHAPES[shape.name], random_weights.build_config = shape, lambda _: config
    model = without_stop_tokens(random_weights.random_model(shape.name, device="cpu"))
    workload = make_workload(model, image_size=392, question_tokens=32, new_tokens=3, seed=0)
    rows = []
    for name in POLICIES:
        policy = choose_policy(name, budget_tokens, budget_tokens)
        rows.append({"policy": name} | count_run(model, policy, workload, chunk_frames=chunk_frames))
    plain = rows[0]["kernels_by_stage"]["prefill"], rows[0]["bytes_by_stage"]["prefill"]
    for row in rows:
        kernels, num_bytes = row["kernels_by_stage"], row["bytes_by_stage"]
        launches = kernels["compress"] + kernels["prefill"] - plain[0]
        moved = num_bytes["compress"] + num_bytes["prefill"] - plain[1]
        seconds = launches * LAUNCH_SECONDS + moved / BYTES_PER_SECOND
        row |= {"compress_launches": launches, "compress_bytes": moved}
        row |= {"compress_seconds": seconds, "compress_share": seconds / CHUNK_SECONDS}
    return rows


def tokens(streams: Sequence[int]) -> list[dict[str, int]]:
    """Count a token of so many streams' answers."""
    from hermes_lab.bench.counted import count_tokens
    from hermes_lab.bench.workload import make_workload, without_stop_tokens
    from hermes_stream import load_model

    model = without_stop_tokens(load_model("tiny", device="cpu"))
    workload = make_workload(model, image_size=96, question_tokens=16, new_tokens=4, seed=0)
    return [count_tokens(model, workload, num_streams=count) for count in streams]


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the files")
    parser.add_argument("--part", choices=("embedded", "text", "7b", "tokens"), help="default: all")
    parser.add_argument("--smoke", action="store_true", help="the smallest form, whose numbers mean nothing")
    given = parser.parse_args()
    if given.part in (None, "text") and not given.smoke:
        options = ("--budget-tokens", 1000, "--chunk-frames", 8, "--policies", ",".join(POLICIES))
        runs = hermes("bench", "--count", "--random", WITH_TEXT, *options)["runs"]
        write(given.out / "counted_text.json", {"models": {WITH_TEXT: runs}})
    if given.part in (None, "embedded"):
        options = (
            ["--policies", "hermes", "--size", 72] if given.smoke else ["--policies", ",".join(POLICIES)]
        )
        embedded = {
            name: hermes("bench", "--count", "--model", name, *options)["runs"]
            for name in (("tiny",) if given.smoke else ("tiny", "tiny-qwen"))
        }
        write(given.out / "counted.json", {"models": embedded})
    if given.part in (None, "tokens"):
        write(given.out / "counted_tokens.json", {"runs": tokens((1, 2) if given.smoke else STREAMS)})
    if given.part in (None, "7b"):
        price = {"launch_seconds": LAUNCH_SECONDS, "bytes_per_second": BYTES_PER_SECOND}
        price |= {"chunk_seconds": CHUNK_SECONDS}
        rows = seven_b(2, 2, 400) if given.smoke else seven_b()
        document = {"like_7b": rows, "priced_at": price}
        write(given.out / "counted_7b.json", document)


def write(path: Path, document: dict[str, Any]) -> None:
    """Write a document and where it was made."""
    path.write_text(json.dumps(machine() | document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
