"""Scenes: what a camera sees behind the story, and how it sees it.

A scene changes pictures and never the story: what is where, and when, stays as it is told. It knows nothing
about things; everything in it follows from the world's seed and the moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

MAX_SHIFT = 0.03
"""How far a hand moves the picture at most, as a share of its side; below the margin that places have."""

# Dull, so that nothing behind the story is taken for a part of it.
_MUTED = np.array(
    [(88, 98, 112), (104, 80, 58), (92, 94, 60), (122, 110, 90), (96, 62, 66), (52, 90, 90), (50, 50, 54)],
    dtype=np.float32,
)
_NUM_OBJECTS, _NUM_OBJECTS_OF_CLUTTER = 14, 40
_OBJECT_HALF_SIDES = (0.02, 0.11)
_SHADES = ((5, 12.0), (13, 6.0))
_GRAIN_SIZE, _GRAIN = 144, 20.0
_BLOTCHES, _BLOTCH = 12, 6.0
_PAN_PER_SECOND = (0.02, 0.06)
_SHAKES_PER_SECOND = (0.15, 0.4, 1.1)
_LIGHT_SECONDS = (8.0, 20.0)
_LIGHT_LEVELS = (0.5, 1.1)
_SWITCH_SECONDS = 1.0
_FLICKER_LEVELS = (0.72, 1.15)
_DARK_LEVEL, _DARK_GRAIN, _DARK_BLOTCH = 0.05, 6.0, 2.0
_BAND_DEPTH, _BANDS = 0.15, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One way of seeing; a part that is None is absent. All take the world's seed and the moment in seconds.

    Attributes:
        told: what it is, for people.
        backdrop: returns what is added to the plain background ``[size, size, 3]``.
        shift: returns where the whole picture is moved (x, y), shares of its side, at most ``MAX_SHIFT``.
        exposure: changes the finished picture ``[size, size, 3]`` in place.
    """

    told: str
    backdrop: Callable[[int, float, int], Image] | None = None
    shift: Callable[[int, float], tuple[float, float]] | None = None
    exposure: Callable[[Image, int, float], None] | None = None

    def shift_at(self, seed: int, seconds: float) -> tuple[float, float]:
        """Return where the picture is moved (x, y) at a moment; nowhere without a hand."""
        return self.shift(seed, seconds) if self.shift else (0.0, 0.0)


def _clutter(seed: int, seconds: float, size: int) -> Image:  # noqa: ARG001
    return _canvas(seed, size, num_pictures=1, num_objects=_NUM_OBJECTS_OF_CLUTTER)


def _sliding(seed: int, seconds: float, size: int) -> Image:
    """Let twice the picture's width slide by, and come round again."""
    rng = np.random.default_rng([seed, 1])
    speed = rng.uniform(*_PAN_PER_SECOND) * rng.choice([-1, 1])
    canvas = _canvas(seed, size, num_pictures=2, num_objects=_NUM_OBJECTS)
    return _window(canvas, (speed * seconds * size, 0.0), size)


def _held(seed: int, seconds: float, size: int) -> Image:
    across, down = _shake(seed, seconds)
    canvas = _canvas(seed, size, num_pictures=1, num_objects=_NUM_OBJECTS)
    return _window(canvas, (-across * size, -down * size), size)


def _shake(seed: int, seconds: float) -> tuple[float, float]:
    phases = np.random.default_rng([seed, 2]).uniform(0, 2 * np.pi, size=(2, len(_SHAKES_PER_SECOND)))
    turns = np.sin(2 * np.pi * np.array(_SHAKES_PER_SECOND) * seconds + phases).mean(axis=1)
    return float(MAX_SHIFT * turns[0]), float(MAX_SHIFT * turns[1])


def _noise(image: Image, seed: int, seconds: float) -> None:
    """Add grain, and blotches of colour, as a camera does in the dark; anew in every frame."""
    _add_grain(image, _of_frame(seed, 3, seconds), grain=_GRAIN, blotch=_BLOTCH)


def darken(image: Image, seed: int, seconds: float) -> None:
    """Put the light out: a twentieth of a picture is left, in the grain of a sensor that is turned up."""
    image *= _DARK_LEVEL
    _add_grain(image, _of_frame(seed, 8, seconds), grain=_DARK_GRAIN, blotch=_DARK_BLOTCH)


def _add_grain(image: Image, rng: np.random.Generator, *, grain: float, blotch: float) -> None:
    size = len(image)
    grains = rng.standard_normal((_GRAIN_SIZE, _GRAIN_SIZE, 3), dtype=np.float32)
    blotches = rng.standard_normal((_BLOTCHES, _BLOTCHES, 3), dtype=np.float32)
    # The grain is as coarse in pictures of any size, or scaling a large one down would remove it.
    nearest = np.arange(size) * _GRAIN_SIZE // size
    image += grain * grains[nearest][:, nearest] + blotch * _stretched(blotches, size, size)


def _flicker(image: Image, seed: int, seconds: float) -> None:
    """Change the brightness from frame to frame, in bands, as under a lamp on mains."""
    rng = _of_frame(seed, 4, seconds)
    level, phase = rng.uniform(*_FLICKER_LEVELS), rng.uniform(0, 2 * np.pi)
    rows = np.linspace(0, 2 * np.pi * _BANDS, len(image), dtype=np.float32)
    image *= (level * (1 + _BAND_DEPTH * np.sin(rows + np.float32(phase))))[:, None, None].astype(np.float32)


def _light(image: Image, seed: int, seconds: float) -> None:
    """Let lamps go on and off: another level and tint every few seconds, reached within one."""
    length = np.random.default_rng([seed, 5]).uniform(*_LIGHT_SECONDS)
    number, since = int(seconds // length), seconds % length
    before, now = (_lamp(seed, max(k, 0)) for k in (number - 1, number))
    reached = min(since / _SWITCH_SECONDS, 1.0)
    image *= (before + (now - before) * reached).astype(np.float32)


def _lamp(seed: int, number: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, 6, number])
    return rng.uniform(*_LIGHT_LEVELS) * rng.uniform(0.92, 1.08, size=3)


SCENES: dict[str, Scene] = {
    "still": Scene(told="a plain wall behind, a camera that stands still"),
    "noise": Scene(told="grain and blotches of colour, new in every frame", exposure=_noise),
    "flicker": Scene(told="brightness that changes from frame to frame, in bands", exposure=_flicker),
    "pan": Scene(told="surroundings that slide by behind what happens", backdrop=_sliding),
    "handheld": Scene(told="a camera held in a hand: everything shakes", backdrop=_held, shift=_shake),
    "light": Scene(told="lamps that go on and off", exposure=_light),
    "clutter": Scene(told="many dull things that stand behind", backdrop=_clutter),
}


def _of_frame(seed: int, salt: int, seconds: float) -> np.random.Generator:
    """Return a generator for one moment, the same whatever was drawn before."""
    return np.random.default_rng([seed, salt, round(seconds * 1000)])


@lru_cache(maxsize=4)
def _canvas(seed: int, size: int, *, num_pictures: int, num_objects: int) -> Image:
    """Paint surroundings ``[size, num_pictures * size, 3]`` without edges: shades and dull objects."""
    rng, shape = np.random.default_rng([seed, 7]), (size, num_pictures * size)
    canvas = np.zeros((*shape, 3), dtype=np.float32)
    for cells, strength in _SHADES:
        shades = rng.standard_normal((cells, cells, 1), dtype=np.float32)
        canvas += strength * _stretched(shades, *shape)
    for _ in range(num_pictures * num_objects):
        _paint_object(canvas, rng)
    canvas.setflags(write=False)
    return canvas


def _paint_object(canvas: Image, rng: np.random.Generator) -> None:
    """Blend a box or an ellipse into the canvas, across its borders too, with edges a pixel wide."""
    height, width, _ = canvas.shape
    colour = _MUTED[rng.integers(len(_MUTED))] * np.float32(rng.uniform(0.5, 0.9))
    half_x, half_y = rng.uniform(*_OBJECT_HALF_SIDES, size=2) * height
    from_x, from_y = (
        abs((np.arange(length, dtype=np.float32) - centre * length + length / 2) % length - length / 2)
        for length, centre in ((width, rng.random()), (height, rng.random()))
    )
    if rng.random() < 0.5:
        outside = np.maximum(from_x[None] - half_x, from_y[:, None] - half_y)
    else:
        outside = (np.hypot(from_x[None] / half_x, from_y[:, None] / half_y) - 1) * min(half_x, half_y)
    coverage = np.clip(0.5 - outside, 0, 1).astype(np.float32)[..., None]
    canvas += coverage * (colour - canvas)


def _window(canvas: Image, corner: tuple[float, float], size: int) -> Image:
    """Cut ``[size, size, 3]`` out of a canvas without edges, its corner (x, y) anywhere between pixels."""
    (column, across), (row, down) = (divmod(start, 1.0) for start in corner)
    indices = np.arange(size + 1)
    taken = canvas.take((indices + int(row)) % canvas.shape[0], axis=0)
    taken = taken.take((indices + int(column)) % canvas.shape[1], axis=1)
    rows = taken[:-1] + np.float32(down) * (taken[1:] - taken[:-1])
    return rows[:, :-1] + np.float32(across) * (rows[:, 1:] - rows[:, :-1])


def _stretched(grid: Image, height: int, width: int) -> Image:
    """Stretch ``[rows, columns, channels]`` smoothly to a size, without edges."""
    down, across = _weights(height, grid.shape[0]), _weights(width, grid.shape[1])
    return np.einsum("hr,rcx,wc->hwx", down, grid, across, optimize=True).astype(np.float32)


@lru_cache(maxsize=16)
def _weights(length: int, cells: int) -> NDArray[np.float32]:
    """Return how much each pixel takes of each cell, of the two next to it ``[length, cells]``."""
    place = np.arange(length, dtype=np.float32) * cells / length
    low = place.astype(int)
    weights = np.zeros((length, cells), dtype=np.float32)
    weights[np.arange(length), low] = 1 - (place - low)
    weights[np.arange(length), (low + 1) % cells] = place - low
    return weights
