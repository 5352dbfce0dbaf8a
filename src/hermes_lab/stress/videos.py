"""Watch thousands of damaged videos: python -m hermes_lab.stress.videos --count N --seed S --out JSON.

Each is a small clip of some container and codec, damaged in one to three ways, and watched in another process
with limits. Right is whatever is watched, with damage told or not, or refused in words; wrong is a crash, a
hang, a traceback or too much memory. The same seed makes the same files: ``--only K --keep FOLDER`` writes
one of them. The last line printed is one JSON document.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hermes_lab.stress.damaged_files import Damaged, Trial, parser
from hermes_lab.stress.mutations import mutated

DEFAULT_CLIPS = "tests/data/media/kinds"
_OPTIONS: tuple[dict[str, Any], ...] = (
    *({"fps": None}, {"fps": 1.0}, {"fps": 25.0}),
    *({"fps": 2.0, "max_image_pixels": 1000}, {"fps": None, "video_stream": 0}),
)


def write_damaged(clips: Sequence[Path], folder: Path, seed: int, index: int) -> Damaged:
    """Write the video of an index."""
    clip, rng = clips[index % len(clips)], np.random.default_rng([seed, index])
    content, mutations = mutated(clip.read_bytes(), rng)
    path = folder / f"{index}{clip.suffix}"
    path.write_bytes(content)
    task = {"path": str(path), "options": _OPTIONS[index // len(clips) % len(_OPTIONS)]}
    return Damaged(source=clip.name, mutations=mutations, task=task)


def trial(clips: Path) -> Trial:
    """Return how the clips of a folder are damaged and watched."""
    found = sorted(path for path in clips.iterdir() if path.is_file())
    return Trial(
        damage=partial(write_damaged, found),
        reader="hermes_lab.stress.watching",
        right=("watched", "damaged", "refused"),
    )


if __name__ == "__main__":
    reading = parser(__doc__)
    reading.add_argument("--clips", type=Path, default=Path(DEFAULT_CLIPS), help="folder of sound clips")
    asked = reading.parse_args()
    trial(asked.clips).run_command("videos", asked)
