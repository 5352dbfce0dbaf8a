"""Measure what forgetting costs on a processor: python results/compression.py [--out FILE] [--smoke].

``compression.json`` holds the processor time of a chunk with each policy over that of ``window``, which reads
no guidance; sessions take turns, chunk by chunk, in one run and on one thread. ``guidance_cost.json`` is the
same of what docs/evidence.md asks of cheaper guidance, with ``--policies`` and ``--out``. ``--smoke`` times a
few chunks of one model, which mean nothing.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from measure import FOLDER, machine

from hermes_lab.bench.workload import make_workload
from hermes_stream import Session, load_model
from hermes_stream.policies.named import choose_policy

POLICIES = ("window", "hermes", "hermes_paper")
CHUNKS = {16: 40, 1: 200}
WARM_UP_FRAMES = 48


def rounds(
    sessions: dict[str, Session], workload: Any, chunk_frames: int, num_chunks: int
) -> Iterator[dict[str, float]]:
    """Yield the processor seconds of a chunk by policy; each round begins with another session."""
    names, shown = list(sessions), 0
    for turn in range(WARM_UP_FRAMES // chunk_frames + num_chunks):
        frames = workload.frames(shown, chunk_frames)
        shown += chunk_frames
        seconds = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.process_time()
            sessions[name].observe(frames)
            sessions[name].flush()
            seconds[name] = time.process_time() - began
        if shown > WARM_UP_FRAMES:
            yield seconds


def measure(
    model_name: str, policies: Sequence[str], chunk_frames: int, num_chunks: int
) -> list[dict[str, Any]]:
    """Return the time of each policy's chunk, and its ratio to that of ``window`` in the same round."""
    model = load_model(model_name, device="cpu")
    budget = model.card.default_budget_tokens
    workload = make_workload(model, image_size=392, question_tokens=32, new_tokens=2, seed=0)
    sessions = {
        name: Session(model, choose_policy(name, None, budget), chunk_frames=chunk_frames)
        for name in policies
    }
    found = list(rounds(sessions, workload, chunk_frames, num_chunks))
    rows = []
    for name in policies:
        ratios = [one[name] / one["window"] for one in found]
        low, _, high = quantiles(ratios, n=4)
        row = {"model": model_name, "policy": name, "chunk_frames": chunk_frames, "num_chunks": len(found)}
        row |= {"chunk_seconds": median(one[name] for one in found), "over_window": median(ratios)}
        rows.append(row | {"over_window_quartiles": [low, high]})
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "compression.json")
    parser.add_argument("--smoke", action="store_true", help="a few chunks of one model")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), help="window must be among them")
    given = parser.parse_args()
    torch.set_num_threads(1)
    models, chunks = ("tiny", "tiny-qwen"), CHUNKS
    if given.smoke:
        models, chunks = models[:1], dict.fromkeys(CHUNKS, 3)
    runs = [
        row
        for name in models
        for size, count in chunks.items()
        for row in measure(name, given.policies, size, count)
    ]
    given.out.write_text(json.dumps(machine() | {"runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
