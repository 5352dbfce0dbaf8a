"""Measure what 8 bits of memory and unencoded still frames cost: python results/lighter.py.

Both embedded models answer the same questions about stories that training never saw: as ever, with keys and
values in 8 bits, and without encoding still frames again. Stored as ``lighter.json``.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import FOLDER, WORLD_BUDGET_TOKENS, WORLD_SECONDS, WORLD_SEED, hermes, machine

STREAMS = 20
CLIPS = 4  # in which still frames are counted
WORKERS = 2
POLICIES = ("full", "hermes_paper", "hermes")
WAYS: dict[str, tuple[object, ...]] = {
    "as ever": (),
    "8 bits": ("--kv-bits", 8),
    "still below 4": ("--still-below", 4),
    "still below 24": ("--still-below", 24),
}
KEPT = ("accuracy", "low", "high", "num_questions", "accuracy_by_group", "num_videos")


def ask(folder: Path, model: str, policy: str, way: str) -> dict[str, Any]:
    """Let one memory watch all stories; say what it scores, holds, and did not encode."""
    budget = () if policy == "full" else ("--budget-tokens", WORLD_BUDGET_TOKENS)
    how = ("--model", model, "--policy", policy, *budget, *WAYS[way])
    words = ("eval", folder / "annotations.json", "--videos", folder, "--short-answers")
    found = hermes(*words, *how)
    clips = sorted(folder.glob("videos/*.mp4"))[:CLIPS]
    watched = [hermes("ask", clip, "what came first?", *how) for clip in clips]
    num_frames, num_still = (sum(one[key] for one in watched) for key in ("num_frames", "num_still_frames"))
    return {
        "model": model,
        "policy": policy,
        "way": way,
        **{key: found[key] for key in KEPT if key in found},
        "cache_bytes": watched[0]["cache_bytes"],
        "num_frames": num_frames,
        "num_still_frames": num_still,
    }


def main() -> None:
    """Measure and write."""
    with TemporaryDirectory() as name, ThreadPoolExecutor(WORKERS) as workers:
        folder = Path(name)
        world = ("--seed", WORLD_SEED, "--streams", STREAMS, "--seconds", WORLD_SECONDS, "--fps", 2)
        hermes("world", *world, "--out", folder, "--force")
        asked = [
            workers.submit(ask, folder, model, policy, way)
            for model in ("tiny", "tiny-qwen")
            for policy in POLICIES
            for way in WAYS
        ]
        runs = [one.result() for one in asked]
    document = {"machine": machine(), "seed": WORLD_SEED, "streams": STREAMS, "runs": runs}
    path = FOLDER / "lighter.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
