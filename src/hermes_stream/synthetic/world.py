"""A synthetic world with exact answers: coloured shapes enter, stay or move, and leave.

Up to three things are on screen at once, and there are stretches in which nothing is. Everything follows from
the seed; a scene says how the camera sees it. The module knows nothing about models: it makes pictures and
remembers what they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hermes_stream.synthetic.scenes import SCENES, Scene, darken
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
SIZES: dict[str, tuple[float, float]] = {"small": (0.10, 0.12), "large": (0.14, 0.165)}
MOTIONS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "still": (0, 0),
}
REGIONS: tuple[str, ...] = (
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)

PICTURE_SIZE = 144
GRID = 3
MAX_AT_ONCE = 3
_SPEED_PER_SECOND = (0.07, 0.12)
_MOVES_TO_TRY = 40


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """What can be seen: a shape in a colour."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


THINGS: tuple[Thing, ...] = tuple(Thing(colour, shape) for colour in COLOURS for shape in SHAPES)


def cell_of(centre: tuple[float, float]) -> int:
    """Return the region of a point (x, y), shares of the picture's side: an index into ``REGIONS``."""
    column, row = (min(max(int(share * GRID), 0), GRID - 1) for share in centre)
    return row * GRID + column


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """One thing's stay on screen. Points and lengths are shares of the picture's side, y grows downwards.

    Attributes:
        thing: what it is.
        size: a key of ``SIZES``.
        motion: a key of ``MOTIONS``.
        enters_seconds: first moment on screen.
        leaves_seconds: first moment no longer on screen.
        entrance: centre (x, y) on entering.
        radius: half its extent.
        speed_per_second: how far it moves in a second.
    """

    thing: Thing
    size: str
    motion: str
    enters_seconds: float
    leaves_seconds: float
    entrance: tuple[float, float]
    radius: float
    speed_per_second: float

    def centre_at(self, seconds: float) -> tuple[float, float]:
        """Return the centre (x, y) at a moment."""
        way = self.speed_per_second * (seconds - self.enters_seconds)
        towards = MOTIONS[self.motion]
        return self.entrance[0] + towards[0] * way, self.entrance[1] + towards[1] * way

    def cell_at(self, seconds: float) -> int:
        """Return the region of the centre: an index into ``REGIONS``."""
        return cell_of(self.centre_at(seconds))

    def border_distance(self, seconds: float) -> float:
        """Return how far the centre is from the nearest border between two regions."""
        return min(abs(share - k / GRID) for share in self.centre_at(seconds) for k in range(1, GRID))

    def is_on_screen(self, seconds: float) -> bool:
        """Return whether it is on screen at a moment."""
        return self.enters_seconds <= seconds < self.leaves_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How eventful a world is: whole seconds and counts, least and most.

    Attributes:
        stay_seconds: how long a thing stays.
        entry_seconds: from one entrance to the next, at least 1, so that things enter one by one.
        quiet_seconds: how long the screen is empty in a quiet stretch.
        quiet_share: how often a quiet stretch follows an entrance, 0 to 1.
        cast_things: how many different things there are in a world; they come again and again, others never.
        cast_shapes: how many of the shapes the cast has.
    """

    stay_seconds: tuple[int, int] = (3, 7)
    entry_seconds: tuple[int, int] = (2, 5)
    quiet_seconds: tuple[int, int] = (1, 5)
    quiet_share: float = 0.3
    cast_things: tuple[int, int] = (12, 16)
    cast_shapes: int = len(SHAPES)

    def __post_init__(self) -> None:
        for name, minimum in (
            ("stay_seconds", 1),
            ("entry_seconds", 1),
            ("quiet_seconds", 0),
            ("cast_things", 6),
        ):
            low, high = getattr(self, name)
            if not minimum <= low <= high:
                raise ValueError(
                    f"{name} must be two numbers, the first at least {minimum} and the second not below it, "
                    f"got {low}, {high}"
                )
        if not 2 <= self.cast_shapes <= len(SHAPES):
            raise ValueError(f"cast_shapes must be from 2 to {len(SHAPES)}, got {self.cast_shapes}")
        most = self.cast_shapes * len(COLOURS)
        if self.cast_things[1] > most:
            of_shapes = "" if self.cast_shapes == len(SHAPES) else f" with {self.cast_shapes} shapes"
            raise ValueError(f"cast_things must be at most {most}{of_shapes}, got {self.cast_things[1]}")
        if not 0 <= self.quiet_share <= 1:
            raise ValueError(f"quiet_share must be from 0 to 1, got {self.quiet_share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that is on screen in one stream: what, where and when, in order of entrance; and in which scene.

    From the first to the second of ``dark_seconds`` no light is on.
    """

    seed: int
    duration_seconds: float
    appearances: tuple[Appearance, ...]
    background: tuple[int, int, int]
    scene: str = "still"
    dark_seconds: tuple[float, float] = (0.0, 0.0)
    _shade: NDArray[np.float32] = field(repr=False, compare=False)

    def on_screen(self, seconds: float) -> list[Appearance]:
        """Return what shows at a moment, in order of entrance."""
        return [a for a in self.appearances if a.is_on_screen(seconds)]

    def seen(self, until_seconds: float) -> list[Appearance]:
        """Return everything that has entered up to and including a moment, in order of entrance."""
        return [a for a in self.appearances if a.enters_seconds <= until_seconds]

    def centre_in_picture(self, appearance: Appearance, seconds: float) -> tuple[float, float]:
        """Return where the centre (x, y) of a thing shows at a moment, moved as the scene moves it."""
        (x, y), (across, down) = appearance.centre_at(seconds), self._scene.shift_at(self.seed, seconds)
        return x + across, y + down

    @property
    def _scene(self) -> Scene:
        return SCENES[self.scene]

    def picture(self, seconds: float, *, size: int = PICTURE_SIZE) -> NDArray[np.uint8]:
        """Draw the moment: uint8 ``[size, size, 3]``."""
        rows = np.interp(np.linspace(0, 1, size), np.linspace(0, 1, len(self._shade)), self._shade)
        image = np.asarray(self.background, dtype=np.float32) + rows[:, None, None].astype(np.float32)
        image = np.repeat(image, size, axis=1)
        scene = self._scene
        if scene.backdrop:
            image += scene.backdrop(self.seed, seconds, size)
        for appearance in self.on_screen(seconds):
            _draw(image, appearance, self.centre_in_picture(appearance, seconds))
        if scene.exposure:
            scene.exposure(image, self.seed, seconds)
        if self.dark_seconds[0] <= seconds < self.dark_seconds[1]:
            darken(image, self.seed, seconds)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)

    def frames(self, fps: float, *, size: int = PICTURE_SIZE) -> Iterator[Frame]:
        """Yield the stream's frames at a steady rate."""
        for k in range(int(np.ceil(self.duration_seconds * fps - 1e-9))):
            image = self.picture(k / fps, size=size)
            yield Frame(pts_seconds=k / fps, image=image, duration_seconds=1 / fps)


def generate_world(
    seed: int, duration_seconds: float, *, pace: Pace | None = None, scene: str = "still"
) -> World:
    """Make a world; things enter and leave at whole seconds, no two enter at the same one.

    Args:
        seed: same seed, same world; at least 0.
        duration_seconds: length of the stream in seconds, above 0.
        pace: how eventful it is; None takes the default.
        scene: a key of ``SCENES``; the story is the same in all of them.

    Raises:
        ValueError: the duration is not positive, or there is no such scene.
    """
    if scene not in SCENES:
        raise ValueError(f"scene must be one of {', '.join(SCENES)}, got {scene!r}")
    if not duration_seconds > 0:
        raise ValueError(f"duration_seconds must be above 0, got {duration_seconds}")
    pace = pace or Pace()
    rng = np.random.default_rng(seed)
    shade = int(rng.integers(15, 60))
    tint = rng.integers(-8, 9, size=3)
    rows = rng.uniform(-6, 6, size=4).astype(np.float32)
    appearances: list[Appearance] = []
    present: list[Appearance] = []
    num_cast = int(rng.integers(pace.cast_things[0], pace.cast_things[1] + 1))
    cast = _cast(rng, num_cast, pace.cast_shapes)
    now = int(rng.integers(0, 3))
    while now < duration_seconds:
        present = [a for a in present if a.leaves_seconds > now]
        taken = {a.thing for a in (*present, *appearances[-1:])}
        free = [thing for thing in cast if thing not in taken]
        entering = _enter(rng, now, pace, free[int(rng.integers(len(free)))], present=present)
        if entering is not None:
            appearances.append(entering)
            present.append(entering)
        pause = int(rng.integers(pace.entry_seconds[0], pace.entry_seconds[1] + 1))
        if rng.random() < pace.quiet_share:
            gone = max((a.leaves_seconds for a in present), default=now)
            quiet = int(rng.integers(pace.quiet_seconds[0], pace.quiet_seconds[1] + 1))
            pause = max(pause, int(gone) - now + quiet)
        now += pause
    return World(
        seed=seed,
        duration_seconds=duration_seconds,
        appearances=tuple(appearances),
        background=(shade + int(tint[0]), shade + int(tint[1]), shade + int(tint[2])),
        scene=scene,
        _shade=rows,
    )


def _cast(rng: np.random.Generator, num_things: int, num_shapes: int) -> list[Thing]:
    """Draw the things that come, of as many shapes."""
    drawn = [THINGS[i] for i in rng.permutation(len(THINGS))]
    shapes = {*SHAPES} if num_shapes == len(SHAPES) else {*rng.permutation(SHAPES)[:num_shapes].tolist()}
    return [thing for thing in drawn if thing.shape in shapes][:num_things]


def _enter(
    rng: np.random.Generator, now: int, pace: Pace, thing: Thing, *, present: list[Appearance]
) -> Appearance | None:
    """Draw the stay and motion of a thing so that it crosses no other; None where no draw did."""
    if len(present) >= MAX_AT_ONCE:
        return None
    stay = int(rng.integers(pace.stay_seconds[0], pace.stay_seconds[1] + 1))
    size = list(SIZES)[int(rng.integers(len(SIZES)))]
    radius = float(rng.uniform(*SIZES[size]))
    slowest, fastest = _SPEED_PER_SECOND[0], min(_SPEED_PER_SECOND[1], 0.95 * (1 - 2 * radius) / stay)
    motions = list(MOTIONS) if slowest <= fastest else ["still"]
    for _ in range(_MOVES_TO_TRY):
        motion = motions[int(rng.integers(len(motions)))]
        speed = float(rng.uniform(slowest, fastest)) if motion != "still" else 0.0
        appearance = Appearance(
            thing=thing,
            size=size,
            motion=motion,
            enters_seconds=now,
            leaves_seconds=now + stay,
            entrance=_entrance(rng, MOTIONS[motion], radius, speed * stay),
            radius=radius,
            speed_per_second=speed,
        )
        if all(_keep_apart(appearance, other) for other in present):
            return appearance
    return None


def _entrance(
    rng: np.random.Generator, towards: tuple[int, int], radius: float, way: float
) -> tuple[float, float]:
    """Draw a point from which the whole way stays inside the picture."""
    x, y = (
        rng.uniform(radius + (way if step < 0 else 0), 1 - radius - (way if step > 0 else 0))
        for step in towards
    )
    return float(x), float(y)


def _keep_apart(one: Appearance, other: Appearance) -> bool:
    """Return whether two things neither touch nor share a region while both are on screen."""
    end = min(one.leaves_seconds, other.leaves_seconds)
    for seconds in np.arange(one.enters_seconds, end, 0.5):
        (x, y), (u, v) = one.centre_at(seconds), other.centre_at(seconds)
        apart = max(abs(x - u), abs(y - v)) > one.radius + other.radius + 0.02
        if not apart or one.cell_at(seconds) == other.cell_at(seconds):
            return False
    return True


def _draw(image: NDArray[np.float32], appearance: Appearance, centre: tuple[float, float]) -> None:
    """Blend one thing into a picture ``[size, size, 3]``, with smooth edges a pixel wide."""
    size = len(image)
    (cx, cy), radius = centre, appearance.radius
    left, right = (round(np.clip(cx + side * radius, 0, 1) * size + side) for side in (-1, 1))
    top, bottom = (round(np.clip(cy + side * radius, 0, 1) * size + side) for side in (-1, 1))
    columns, rows = slice(max(left, 0), min(right, size)), slice(max(top, 0), min(bottom, size))
    x = ((np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) / size - cx)[None, :] / radius
    y = ((np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / size - cy)[:, None] / radius
    coverage = np.clip(0.5 - _outside(appearance.thing.shape, x, y) * radius * size, 0, 1)[..., None]
    colour = np.asarray(COLOURS[appearance.thing.colour], dtype=np.float32)
    image[rows, columns] += coverage * (colour - image[rows, columns])


def _outside(shape: str, x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the signed distance from a shape's edge, about, in radii: below 0 inside."""
    match shape:
        case "circle":
            return np.asarray(np.hypot(x, y) - 1)
        case "square":
            return np.asarray(np.maximum(abs(x), abs(y)) - 0.88)
        case "triangle":
            return np.asarray(np.maximum(y - 0.8, (2 * abs(x) - y - 1.1) / 2.24))
        case _:
            upright = np.maximum(abs(x) - 0.3, abs(y) - 1)
            level = np.maximum(abs(y) - 0.3, abs(x) - 1)
            return np.asarray(np.minimum(upright, level))
