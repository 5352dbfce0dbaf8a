"""Measure what a question gains where a compression waits for it: python results/put_off.py [--out FILE].

``put_off.json`` holds two sessions for each policy and story that differ in one thing: before each question
one folds in what waits and compresses, the other leaves that to the question, which puts it off. Stories are
of seeds that training never saw; the time is that of the processor, from the call to the first token, in one
run and on one thread.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import FOLDER, machine

from hermes_stream import Session, load_model
from hermes_stream.models.base import VideoModel
from hermes_stream.synthetic.planning import plan_questions
from hermes_stream.synthetic.recording import is_truth
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import generate_world

POLICIES = ("window", "hermes", "hermes_paper")
WAYS = ("at once", "put off")
SECONDS, QUESTIONS = 120, 10
NUM_RESAMPLES = 2000


def answers(model: VideoModel, policy: str, seed: int) -> Iterator[dict[str, Any]]:
    """Watch one story in both ways; yield what was said to each question."""
    scene = list(SCENES)[seed % len(SCENES)]
    world = generate_world(seed, SECONDS, scene=scene)
    planned = plan_questions(world, num_questions=QUESTIONS, seed=seed, from_second=SECONDS // 3)
    waiting = list(planned)
    sessions = {way: Session(model, policy, fps=1, defers_compression=way == "put off") for way in WAYS}
    for frame in world.frames(1.0):
        for session in sessions.values():
            session.observe(frame)
        while waiting and waiting[0].asked_seconds <= frame.pts_seconds:
            question, row = waiting.pop(0), {"policy": policy, "seed": seed, "scene": scene}
            for way, session in sessions.items():
                before = session.stats
                began = time.process_time()
                if way == "at once":
                    session.flush()
                said = session.ask(question.text, max_new_tokens=16)
                row[way] = {
                    "first_token_seconds": time.process_time() - began,
                    "is_right": is_truth(question, said.text),
                    "num_frames": before.num_pending_frames,
                    "num_compressions": session.stats.num_compressions - before.num_compressions,
                    "num_tokens": session.stats.num_visual_tokens_kept,
                }
            yield row


def summed(rows: list[dict[str, Any]], policy: str) -> dict[str, Any]:
    """Compare both ways over a policy's answers; the interval is over stories."""
    own = [row for row in rows if row["policy"] == policy]
    behind = [row for row in own if row["at once"]["num_compressions"] > row["put off"]["num_compressions"]]
    seconds = [[row[way]["first_token_seconds"] for way in WAYS] for row in behind]
    right = np.array([[row[way]["is_right"] for way in WAYS] for row in own], dtype=float)
    seeds = np.array([row["seed"] for row in own])
    gains = np.array([np.diff(right[seeds == seed]).sum() for seed in np.unique(seeds)])
    sizes = np.array([(seeds == seed).sum() for seed in np.unique(seeds)])
    drawn = np.random.default_rng(0).integers(0, len(gains), (NUM_RESAMPLES, len(gains)))
    low, high = np.quantile(gains[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
    return {
        "policy": policy,
        "num_questions": len(own),
        "num_put_off": len(behind),
        "accuracy": dict(zip(WAYS, right.mean(0).tolist(), strict=True)),
        "accuracy_gained": float(np.diff(right.mean(0))[0]),
        "accuracy_gained_interval": [float(low), float(high)],
        "first_token_seconds": dict(zip(WAYS, (median(x) for x in zip(*seconds, strict=True)), strict=True)),
        "first_token_ratio": median(after / before for before, after in seconds),
        "most_tokens": max(row["put off"]["num_tokens"] for row in own),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "put_off.json")
    parser.add_argument("--stories", type=int, default=16)
    parser.add_argument("--seed", type=int, default=91_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("tiny", device="cpu")
    seeds = range(arguments.seed, arguments.seed + arguments.stories)
    rows = [row for seed in seeds for policy in POLICIES for row in answers(model, policy, seed)]
    document = machine() | {
        "seeds": list(seeds),
        "runs": [summed(rows, one) for one in POLICIES],
        "answers": rows,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
