"""Scenes of the world: python results/scenes.py picture | accuracy.

``picture`` draws docs/pictures/scenes.png: one story in every scene, at five moments, each row a scene.
``accuracy`` writes scenes.json: what the shipped checkpoints know of each scene, asked about the same stories
with the full cache; they were trained on still scenes alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from measure import hermes, machine

from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import generate_world

FOLDER = Path(__file__).parent
PICTURE = FOLDER.parent / "docs" / "pictures" / "scenes.png"
PICTURE_SEED, MOMENTS, SIZE = 31, (9, 10, 22, 30, 44), 120
SEED, STREAMS, SECONDS, QUESTIONS = 5000, 10, 48, 40
MODELS = ("tiny", "tiny-qwen")


def picture() -> None:
    """Draw and write the picture."""
    figure, axes = plt.subplots(len(SCENES), 1, figsize=(6.4, 9.0))
    for axis, scene in zip(axes, SCENES, strict=True):
        world = generate_world(PICTURE_SEED, SECONDS, scene=scene)
        axis.imshow(np.concatenate([world.picture(t, size=SIZE) for t in MOMENTS], axis=1))
        axis.set_ylabel(scene, rotation=0, ha="right", va="center")
        axis.set_xticks([(k + 0.5) * SIZE for k in range(len(MOMENTS))], [])
        axis.set_yticks([])
    axes[-1].set_xticklabels([f"{t} s" for t in MOMENTS])
    figure.savefig(PICTURE, dpi=100, bbox_inches="tight")


def accuracy() -> None:
    """Ask both checkpoints about every scene, and write what they know."""
    found: dict[str, dict[str, Any]] = {model: {} for model in MODELS}
    for scene in SCENES:
        with TemporaryDirectory() as folder:
            options = ["--seed", SEED, "--streams", STREAMS, "--seconds", SECONDS, "--questions", QUESTIONS]
            hermes("world", *options, "--scene", scene, "--out", folder, "--force")
            for model in MODELS:
                words = ["eval", Path(folder) / "annotations.json", "--videos", folder, "--model", model]
                document = hermes(*words, "--policy", "full")
                names = ("accuracy", "low", "high", "num_questions", "accuracy_by_group", "accuracy_by_kind")
                found[model][scene] = {name: document[name] for name in names}
    settings = {
        "seed": SEED,
        "streams": STREAMS,
        "seconds": SECONDS,
        "questions": QUESTIONS,
        "policy": "full",
    }
    stored = {"machine": machine(), "policy": "full", **settings, "models": found}
    (FOLDER / "scenes.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"picture": picture, "accuracy": accuracy}[sys.argv[1]]()
