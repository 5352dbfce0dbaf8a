"""Tell what a run of ``hermes train`` took and made: python results/from_scratch.py RUN --out FILE

Gathers the recipe, the curve and its seconds, asks the finished checkpoint about stories that training never
saw, in 48 seconds, and plays ``hermes demo`` with it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from measure import machine

SEED = 71000
NUM_STORIES = 40
BUDGET_TOKENS = 138  # 32 % of what 48 seconds make
POLICIES = ("full", "hermes")
DEMO_SEEDS = (100, 102, 104, 106, 1200, 1202, 1203, 7, 21, 33)


def hermes(*words: str) -> dict[str, Any]:
    """Run a command of ``hermes`` and return its document."""
    command = [sys.executable, "-m", "hermes_stream", *words, "--json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(told.stdout.splitlines()[-1] if words[0] == "demo" else told.stdout)
    return document


def stages(recipe: dict[str, Any], curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up the steps of each stage; rendering and encoding its stories come besides."""
    made, end, before = [], 0, 0
    for stage in recipe["stages"]:
        begin, end, wall, processor = end, end + stage["num_steps"], 0.0, 0.0
        for row in curve:
            if begin < row["step"] <= end:
                wall += (row["step"] - before) * row["seconds_per_step"]
                processor += (row["step"] - before) * row["processor_seconds_per_step"]
                before = row["step"]
        of = {name: stage[name] for name in ("num_seconds", "num_steps", "long_seconds")}
        made.append(of | {"seconds": round(wall), "processor_seconds": round(processor)})
    return made


def world(model: str) -> dict[str, Any]:
    """Ask about stories that training never saw, by kind."""
    with TemporaryDirectory() as folder:
        hermes("world", f"--streams={NUM_STORIES}", "--seconds=48", f"--seed={SEED}", f"--out={folder}")
        found: dict[str, Any] = {}
        for policy in POLICIES:
            budget = [] if policy == "full" else [f"--budget-tokens={BUDGET_TOKENS}"]
            told = hermes(
                *("eval", f"{folder}/annotations.json", f"--videos={folder}", f"--model={model}"),
                *(f"--policy={policy}", *budget),
            )
            kept = ("accuracy", "low", "high", "accuracy_by_kind", "accuracy_by_group")
            found[policy] = {name: told[name] for name in kept}
    return {"seed": SEED, "num_stories": NUM_STORIES, "budget_tokens": BUDGET_TOKENS} | found


def demos(model: str) -> dict[str, Any]:
    """Play the demonstration with the default memory."""
    told = {seed: hermes("demo", f"--model={model}", f"--seed={seed}")["accuracy"] for seed in DEMO_SEEDS}
    return {"accuracy_by_seed": told, "mean": mean(told.values()), "least": min(told.values())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of hermes train")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    curve = [json.loads(line) for line in (given.run / "curve.jsonl").read_text("utf-8").splitlines()]
    recipe = json.loads((given.run / "recipe.json").read_text("utf-8"))
    model = str(given.run / "checkpoint")
    document = {
        "machine": machine(),
        "run_seconds": curve[-1]["run_seconds"],
        "stages": stages(recipe, curve),
        "world": world(model),
        "demos": demos(model),
        "recipe": recipe,
        "curve": curve,
    }
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
