"""Stories of the synthetic world as frames, and labels of what each frame shows.

Beside its questions, every frame has labels: what a good observer would write down. Auxiliary heads learn
them, so that a layer in the middle holds what the layers above can answer from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hermes_stream.synthetic.questions import NUMBERS, SECONDS_TO_SEE_MOTION
from hermes_stream.synthetic.world import (
    COLOURS,
    GRID,
    MOTIONS,
    SHAPES,
    Appearance,
    Pace,
    Thing,
    World,
    cell_of,
    generate_world,
)
from hermes_stream.video import FileSource, write_video

IGNORED = -100
LABELS: dict[str, int] = {
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "motion": len(MOTIONS),
    "colour_before": len(COLOURS) + 1,
    "shape_before": len(SHAPES) + 1,
    "count_of_shape": len(NUMBERS),
    "just_came": 2,
}
"""Labels of the thing whose centre lies in a visual token's cell, and how many values each may take."""


def draw_worlds(
    num_worlds: int,
    num_seconds: int,
    pace: Pace,
    seed: int,
    *,
    scenes: Sequence[str] = ("still",),
    has_few_shapes: bool = False,
) -> tuple[World, ...]:
    """Generate the stories of a training set.

    Args:
        num_worlds: how many.
        num_seconds: length of each.
        pace: how eventful they are.
        seed: of the first world; the others follow it.
        scenes: one of these is drawn for each story, as often as it is named.
        has_few_shapes: let half of the casts lack a shape, so that there is one that never comes.
    """
    few = replace(pace, cast_shapes=len(SHAPES) - 1)
    worlds = []
    for one in range(seed, seed + num_worlds):
        rng = np.random.default_rng([one, len(scenes)])
        own = few if has_few_shapes and rng.random() < 0.5 else pace
        scene = scenes[int(rng.integers(len(scenes)))]
        worlds.append(generate_world(one, num_seconds, pace=own, scene=scene))
    return tuple(worlds)


def render_story(
    world: World, num_frames: int, *, through_codec: bool, fps: int = 1
) -> list[NDArray[np.uint8]]:
    """Draw images at a steady rate; ``through_codec`` writes and reads them as H.264 first."""
    images = [world.picture(frame / fps) for frame in range(num_frames)]
    if not through_codec:
        return images
    with TemporaryDirectory() as folder:
        path = Path(folder) / "story.mp4"
        write_video(path, images, fps=fps, crf=20)
        return [frame.image for frame in FileSource(path)]


def frame_labels(world: World, num_frames: int, *, fps: int = 1) -> Tensor:
    """Label every frame: int8 ``[frames, cells, labels]``, ``IGNORED`` in cells without a thing."""
    labels = torch.full((num_frames, GRID * GRID, len(LABELS)), IGNORED, dtype=torch.int8)
    counts: Counter[str] = Counter()
    before: Thing | None = None
    for appearance in world.appearances:
        counts[appearance.thing.shape] += 1
        leaves = min(int(appearance.leaves_seconds) * fps, num_frames)
        for frame in range(int(appearance.enters_seconds) * fps, leaves):
            own = _labels_of(appearance, frame / fps, before, counts[appearance.thing.shape])
            cell = cell_of(world.centre_in_picture(appearance, frame / fps))
            labels[frame, cell] = torch.tensor(own, dtype=torch.int8)
        before = appearance.thing
    return labels


def _labels_of(appearance: Appearance, seconds: float, before: Thing | None, count: int) -> list[int]:
    """Return the values of ``LABELS``, in their order."""
    age = seconds - appearance.enters_seconds
    return [
        list(COLOURS).index(appearance.thing.colour),
        SHAPES.index(appearance.thing.shape),
        list(MOTIONS).index(appearance.motion) if age >= SECONDS_TO_SEE_MOTION else IGNORED,
        list(COLOURS).index(before.colour) if before else len(COLOURS),
        SHAPES.index(before.shape) if before else len(SHAPES),
        count if count < len(NUMBERS) else IGNORED,
        int(age < 1),
    ]


def frame_centres(world: World, num_frames: int, *, fps: int = 1) -> Tensor:
    """Return the centre (x, y) of the thing in every cell: ``[frames, cells, 2]``, shares of the side."""
    centres = torch.zeros(num_frames, GRID * GRID, 2)
    for frame in range(num_frames):
        seconds = frame / fps
        for appearance in world.on_screen(seconds):
            centre = world.centre_in_picture(appearance, seconds)
            centres[frame, cell_of(centre)] = torch.tensor(centre)
    return centres
