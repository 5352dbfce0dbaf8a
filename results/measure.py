"""Make the JSON files in this folder: python results/measure.py demo|length [--out FILE].

``demo`` plays ``hermes demo`` for many stories that training never saw, one run per policy and story.
``length`` asks the same question after streams of growing length; policies take turns within one run, so that
timings may be compared with each other, and with nothing else.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

FOLDER = Path(__file__).parent
DEMO_SEEDS = range(100, 120)
LENGTHS = (16, 64, 256, 1024, 4096)
REPEATS = 101


def machine() -> dict[str, Any]:
    """Say where and with what the numbers were made."""
    packages = ("hermes-stream", "torch", "transformers", "av", "numpy")
    processor = [line.split(":")[1].strip() for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": processor[0] if processor else platform.processor(),
        "num_processors": len(processor),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "command": " ".join(["python", *sys.argv]),
    }


def cpu_lines() -> list[str]:
    """Read what Linux says of its processors."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def run_demo(policy: str, seed: int) -> dict[str, Any]:
    """Play one story as a user would."""
    command = [
        sys.executable,
        "-m",
        "hermes_stream",
        "demo",
        "--policy",
        policy,
        "--seed",
        str(seed),
        "--json",
    ]
    return json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )


def demo() -> dict[str, Any]:
    """Count right answers by kind over all stories."""
    found = {}
    for policy in ("hermes", "window", "full"):
        right, asked, runs = Counter(), Counter(), []
        for seed in DEMO_SEEDS:
            run = run_demo(policy, seed)
            runs.append(run)
            for question in run["questions"]:
                asked[question["kind"]] += 1
                right[question["kind"]] += question["is_right"]
        found[policy] = {
            "accuracy_by_kind": {kind: right[kind] / asked[kind] for kind in sorted(asked)},
            "num_questions_by_kind": dict(sorted(asked.items())),
            "accuracy_by_kind_of_each_seed": [run["accuracy_by_kind"] for run in runs],
            "duration_seconds": runs[0]["duration_seconds"],
            "kept_share": median(run["kept_share"] for run in runs),
            "budget_tokens": runs[0]["budget_tokens"],
            "num_frames": runs[0]["num_frames"],
            "cache_bytes": max(run["cache_bytes"] for run in runs),
        }
    return {"seeds": [DEMO_SEEDS.start, DEMO_SEEDS.stop - 1], "policies": found}


def stream(num_frames: int) -> Iterator[Any]:
    """Play the world's pictures over and over."""
    from hermes_stream import Frame
    from hermes_stream.tiny.world import generate_world

    pictures = [frame.image for frame in generate_world(0, 64).frames(1)]
    for k in range(num_frames):
        yield Frame(pts_seconds=float(k), image=pictures[k % len(pictures)])


def length() -> dict[str, Any]:
    """Ask after streams of growing length; the sessions take turns."""
    from hermes_stream import HermesPolicy, Session, WindowPolicy, load_model

    model = load_model("tiny", device="cpu")
    budget = model.card.default_budget_tokens
    policies = {"hermes": HermesPolicy.paper(budget), "window": WindowPolicy(budget_tokens=budget)}
    rows = []
    sessions = {}
    for name, policy in policies.items():
        for num_frames in LENGTHS:
            session = sessions[name, num_frames] = Session(model, policy)
            session.observe(stream(num_frames))
            session.flush()
    ttft: dict[tuple[str, int], list[float]] = {key: [] for key in sessions}
    for turn in range(REPEATS + 3):
        for key, session in sessions.items():
            answer = session.ask("what came first?", max_new_tokens=1)
            if turn >= 3:
                ttft[key].append(answer.ttft_seconds)
    for (name, num_frames), session in sessions.items():
        rows.append(
            {
                "policy": name,
                "num_frames": num_frames,
                "ttft_seconds": median(ttft[name, num_frames]),
                "ttft_over_64_frames": median(ttft[name, num_frames]) / median(ttft[name, 64]),
                "cache_bytes": session.stats.cache_bytes,
                "num_visual_tokens_kept": session.stats.num_visual_tokens_kept,
                "num_visual_tokens_seen": session.stats.num_visual_tokens_seen,
            }
        )
    return {"model": "tiny", "budget_tokens": budget, "repeats": REPEATS, "runs": rows}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["demo", "length"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result = {"machine": machine(), **{"demo": demo, "length": length}[arguments.what]()}
    out = arguments.out or FOLDER / f"{arguments.what}.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
