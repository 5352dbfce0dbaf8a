"""Draw docs/pictures/scenes.png: one story in every scene, at five moments, each row a scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from hermes_stream.synthetic.scenes import SCENES
from hermes_stream.synthetic.world import generate_world

SEED, SECONDS, MOMENTS, SIZE = 31, 48, (9, 10, 22, 30, 44), 120
PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "scenes.png"


def main() -> None:
    """Draw and write the picture."""
    figure, axes = plt.subplots(len(SCENES), 1, figsize=(6.4, 9.0))
    for axis, scene in zip(axes, SCENES, strict=True):
        world = generate_world(SEED, SECONDS, scene=scene)
        axis.imshow(np.concatenate([world.picture(t, size=SIZE) for t in MOMENTS], axis=1))
        axis.set_ylabel(scene, rotation=0, ha="right", va="center")
        axis.set_xticks([(k + 0.5) * SIZE for k in range(len(MOMENTS))], [])
        axis.set_yticks([])
    axes[-1].set_xticklabels([f"{t} s" for t in MOMENTS])
    figure.tight_layout(pad=0.4)
    figure.savefig(PICTURE, dpi=100, bbox_inches="tight")


if __name__ == "__main__":
    main()
