"""A synthetic world with exact answers: coloured shapes enter an empty screen, drift, and leave.

One thing is on screen at a time, between stretches in which nothing is. Everything follows from the seed.
The module knows nothing about models: it makes pictures and remembers what they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hermes_stream.video.frame import Frame

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (165, 60, 200),
    "white": (240, 240, 240),
}
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross")

PICTURE_SIZE = 96
_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """What can be seen: a shape in a colour."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


THINGS: tuple[Thing, ...] = tuple(Thing(colour, shape) for colour in COLOURS for shape in SHAPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """One thing's stay on screen; it drifts in a straight line. Places are shares of the picture's side."""

    thing: Thing
    enters_seconds: float
    leaves_seconds: float
    place: tuple[float, float]
    drift_per_second: tuple[float, float]
    radius: float

    def place_at(self, seconds: float) -> tuple[float, float]:
        """Return the centre (x, y) at a moment, kept inside the picture."""
        since = seconds - self.enters_seconds
        x, y = (p + d * since for p, d in zip(self.place, self.drift_per_second, strict=True))
        low, high = self.radius, 1.0 - self.radius
        return min(max(x, low), high), min(max(y, low), high)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One stream's story: who was on screen when."""

    seed: int
    duration_seconds: float
    appearances: tuple[Appearance, ...]
    background: tuple[int, int, int]

    def on_screen(self, seconds: float) -> Appearance | None:
        """Return what shows at a moment, None when the screen is empty."""
        for appearance in self.appearances:
            if appearance.enters_seconds <= seconds < appearance.leaves_seconds:
                return appearance
        return None

    def seen(self, until_seconds: float) -> list[Appearance]:
        """Return everything that has entered up to and including a moment, oldest first."""
        return [a for a in self.appearances if a.enters_seconds <= until_seconds]

    def picture(self, seconds: float) -> NDArray[np.uint8]:
        """Draw the moment: uint8 ``[size, size, 3]``."""
        image = np.empty((PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.float32)
        image[:] = self.background
        appearance = self.on_screen(seconds)
        if appearance is not None:
            coverage = _coverage(appearance, seconds)[..., None]
            image += coverage * (np.asarray(COLOURS[appearance.thing.colour], dtype=np.float32) - image)
        return np.round(image).astype(np.uint8)

    def frames(self, fps: float) -> Iterator[Frame]:
        """Yield the stream's frames at a steady rate."""
        for k in range(int(np.ceil(self.duration_seconds * fps - 1e-9))):
            yield Frame(pts_seconds=k / fps, image=self.picture(k / fps), duration_seconds=1 / fps)


def generate_world(
    seed: int,
    duration_seconds: float,
    *,
    stay_seconds: tuple[int, int] = (2, 5),
    quiet_seconds: tuple[int, int] = (0, 2),
) -> World:
    """Make a story of whole seconds.

    Args:
        seed: same seed, same world.
        duration_seconds: length of the stream in seconds, above 0.
        stay_seconds: least and most seconds that a thing stays.
        quiet_seconds: least and most seconds between two things.

    Raises:
        ValueError: the duration is not positive.
    """
    if not duration_seconds > 0:
        raise ValueError(f"duration_seconds must be above 0, got {duration_seconds}")
    rng = np.random.default_rng(seed)
    appearances: list[Appearance] = []
    now = float(rng.integers(0, 2))
    while now < duration_seconds:
        stay = int(rng.integers(stay_seconds[0], stay_seconds[1] + 1))
        last = appearances[-1].thing if appearances else None
        appearances.append(_enter(rng, now, stay, last))
        now += stay + int(rng.integers(quiet_seconds[0], quiet_seconds[1] + 1))
    shade = int(rng.integers(15, 60))
    tint = rng.integers(-8, 9, size=3)
    background = (shade + int(tint[0]), shade + int(tint[1]), shade + int(tint[2]))
    return World(
        seed=seed,
        duration_seconds=duration_seconds,
        appearances=tuple(appearances),
        background=background,
    )


def _enter(rng: np.random.Generator, now: float, stay: int, last: Thing | None) -> Appearance:
    thing = last
    while thing == last:
        thing = THINGS[int(rng.integers(len(THINGS)))]
    assert thing is not None
    radius = float(rng.uniform(0.16, 0.26))
    x, y = rng.uniform(radius, 1 - radius, size=2)
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.06)
    return Appearance(
        thing=thing,
        enters_seconds=now,
        leaves_seconds=now + stay,
        place=(float(x), float(y)),
        drift_per_second=(float(speed * np.cos(angle)), float(speed * np.sin(angle))),
        radius=radius,
    )


def _coverage(appearance: Appearance, seconds: float) -> NDArray[np.float32]:
    """Return how much of each pixel the thing covers, 0 to 1, with smooth edges."""
    n = PICTURE_SIZE * _OVERSAMPLING
    axis = (np.arange(n, dtype=np.float32) + 0.5) / n
    cx, cy = appearance.place_at(seconds)
    x, y = (axis - cx)[None, :] / appearance.radius, (axis - cy)[:, None] / appearance.radius
    match appearance.thing.shape:
        case "circle":
            inside = x**2 + y**2 <= 1
        case "square":
            inside = np.maximum(abs(x), abs(y)) <= 0.88
        case "triangle":
            inside = (y <= 0.8) & (2 * abs(x) <= y + 1.1)
        case _:
            inside = ((abs(x) <= 0.3) & (abs(y) <= 1)) | ((abs(y) <= 0.3) & (abs(x) <= 1))
    side = (PICTURE_SIZE, _OVERSAMPLING)
    return inside.reshape(*side, *side).mean(axis=(1, 3), dtype=np.float32)
