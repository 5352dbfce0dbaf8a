"""Where digests cut a stream, against where things enter in the world.

    python results/chapters.py --out results/chapters.json

Stories of a calm and of the usual pace, in every scene. Each second has a newness: of content against all
that is remembered (what a digest uses), of each place against what was there before (what describing watches
use), and the difference of pictures. Chapters are chosen alike from each, and right where a thing enters in
that very second or the one before; evenly spaced cuts are chance. Seeds chose nothing before; that content
is compared was found on seeds 100 to 103.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from hermes_stream import Session, load_model
from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.digest.chapters import Beginning, choose_beginnings, usual_newness
from hermes_stream.digest.newness import content_newness
from hermes_stream.stream.watches.newness import newness_since
from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import Pace, generate_world

PACES = {
    "calm": Pace(stay_seconds=(6, 12), entry_seconds=(10, 20), quiet_share=0.3),
    "usual": Pace(),
}
SIGNALS = ("content", "place", "pixels")
MIN_CHAPTER_SECONDS = 5.0
MAX_CHAPTERS = 24
FIRST_SECOND = 5
"""Before, everything is new."""
NUM_RESAMPLES = 2000


def story(model, seed: int, *, pace: str, scene: str, seconds: int) -> dict:
    """Watch one story; return when things enter, and how new each second was by each signal."""
    world = generate_world(seed, seconds, pace=PACES[pace], scene=scene)
    session = Session(model, fps=1, chunk_frames=1, guidance_from_questions=False)
    newness: dict[str, list[float]] = {name: [] for name in SIGNALS}
    before, picture = None, None
    for frame in world.frames(1.0):
        session.observe(frame)
        newness["content"].append(content_newness(session.cache, before))
        newness["place"].append(newness_since(session.cache, before))
        image = frame.image.astype(np.float32)
        newness["pixels"].append(1.0 if picture is None else float(abs(image - picture).mean() / 255))
        before, picture = frame.pts_seconds, image
    enters = [one.enters_seconds for one in world.appearances if one.enters_seconds >= FIRST_SECOND]
    return {"seed": seed, "pace": pace, "scene": scene, "enters_seconds": enters, "newness": newness}


def cuts(values: list[float]) -> list[float]:
    """Return where chapters begin by a signal."""
    candidates = [Beginning(seconds=float(k), newness=value) for k, value in enumerate(values)]
    chosen = choose_beginnings(
        candidates[FIRST_SECOND:],
        from_seconds=0.0,
        to_seconds=float(len(values)),
        min_chapter_seconds=MIN_CHAPTER_SECONDS,
        max_chapters=MAX_CHAPTERS,
        at_least=usual_newness(values),
    )
    return [one.seconds for one in chosen]


def counted(found: list[float], enters: list[float]) -> tuple[int, int, int]:
    """Return how many cuts are where a thing enters, how many cuts and how many entrances there are."""
    return sum(any(0 <= cut - at <= 1 for at in enters) for cut in found), len(found), len(enters)


def area(values: np.ndarray, is_entrance: np.ndarray) -> float:
    """Return how likely a second with an entrance is newer than one without."""
    good, bad = values[is_entrance], np.sort(values[~is_entrance])
    below = np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")
    return float(below.mean() / 2 / len(bad))


def summed(stories: list[dict], signal: str) -> dict:
    """Sum stories up under one signal, beside evenly spaced cuts of the same number."""
    own, even, areas = [], [], []
    for one in stories:
        values, enters = one["newness"][signal], one["enters_seconds"]
        found = cuts(values)
        own.append(counted(found, enters))
        spaced = np.linspace(FIRST_SECOND, len(values), len(found) + 2)[1:-1].round().tolist()
        even.append(counted(spaced, enters))
        is_entrance = np.isin(np.arange(len(values)), enters)[FIRST_SECOND:]
        areas.append(area(np.array(values)[FIRST_SECOND:], is_entrance))
    rng, table = np.random.default_rng(0), np.array(own)
    drawn = [table[rng.integers(len(own), size=len(own))].sum(axis=0) for _ in range(NUM_RESAMPLES)]
    low, high = np.percentile([right / max(all_, 1) for right, all_, _ in drawn], [2.5, 97.5])
    right, num_cuts, num_enters = table.sum(axis=0).tolist()
    return {
        "num_cuts": num_cuts,
        "num_entrances": num_enters,
        "share_of_cuts_at_an_entrance": right / max(num_cuts, 1),
        "interval": [float(low), float(high)],
        "of_evenly_spaced_cuts": sum(one[0] for one in even) / max(sum(one[1] for one in even), 1),
        "area_under_curve_of_entrances": float(np.mean(areas)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--stories", type=int, default=18, help="of each pace")
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--seed", type=int, default=84_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model, scenes, stories = load_model(given.model), list(SCENES), []
    for place, pace in enumerate(PACES):
        for k in range(given.stories):
            seed = given.seed + place * given.stories + k
            stories.append(
                story(model, seed, pace=pace, scene=scenes[k % len(scenes)], seconds=given.seconds)
            )
            sys.stderr.write(f"{pace} {seed}\n")
    scores = {
        pace: {signal: summed([one for one in stories if one["pace"] == pace], signal) for signal in SIGNALS}
        for pace in PACES
    }
    by_scene = {
        scene: summed([one for one in stories if one["scene"] == scene], "content") for scene in scenes
    }
    for one in stories:
        one["newness"] = {name: [round(value, 5) for value in own] for name, own in one["newness"].items()}
    document = {
        "command": f"python {' '.join(sys.argv)}",
        "model": given.model,
        "num_stories": len(stories),
        "seconds": given.seconds,
        "seed": given.seed,
        "min_chapter_seconds": MIN_CHAPTER_SECONDS,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "scores": scores,
        "content_by_scene": by_scene,
        "stories": stories,
    }
    sys.stdout.write(json.dumps({"scores": scores, "content_by_scene": by_scene}, indent=1) + "\n")
    if given.out:
        given.out.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
