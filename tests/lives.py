"""Random lives of a stream, and all that one remembers: what is restored must live on to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hermes_stream import Frame, Session
from hermes_stream.stream.stream import Stream

QUESTIONS = ("what is on screen now?", "what came first?", "was there a red circle?")
OPTIONS = ("a circle", "a square", "nothing")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One moment of a life: frames come, or all is folded in, or a question is asked."""

    frames: tuple[Frame, ...] = ()
    flushes: bool = False
    question: str | None = None
    options: tuple[str, ...] | None = None


def life(*, seed: int, num_frames: int = 24, size: tuple[int, int] = (24, 24)) -> list[Event]:
    """Draw a life; some pictures are still, and pauses of more than a minute occur."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    images = pictures(rng, size)
    seconds, left = 0.0, num_frames
    while left > 0:
        kind = rng.random()
        if kind < 0.55 or not events:
            count = int(min(left, rng.integers(1, 7)))
            frames = []
            for _ in range(count):
                seconds += float(rng.choice([0.5, 1.0, 1.0, 70.0], p=[0.3, 0.3, 0.35, 0.05]))
                frames.append(Frame(pts_seconds=seconds, image=next(images)))
            left -= count
            events.append(Event(frames=tuple(frames)))
        elif kind < 0.7:
            events.append(Event(flushes=True))
        else:
            options = OPTIONS if rng.random() < 0.3 else None
            events.append(Event(question=str(rng.choice(QUESTIONS)), options=options))
    return events


def pictures(rng: np.random.Generator, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Yield pictures of random blocks; every third is the one before."""
    image = None
    while True:
        if image is None or rng.random() > 0.33:
            blocks = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
            image = blocks.repeat(4, axis=0).repeat(4, axis=1)
        yield image.copy()


def live(session: Session, events: Iterable[Event]) -> list[Any]:
    """Live through events; return what was said."""
    said: list[Any] = []
    for event in events:
        session.observe(event.frames)
        if event.flushes:
            session.flush()
        if event.question:
            answer = session.ask(event.question, event.options, max_new_tokens=3)
            said.append((answer.text, tuple(answer.token_ids)))
    return said


def everything(stream: Stream) -> dict[str, Any]:
    """Return all that a stream remembers, rotated keys included, as plain values and tensors."""
    saved = stream.saved()
    cache = stream.cache
    rotated = {f"rotated.{k}": cache.rotated_keys(k).clone() for k in range(cache.layout.num_layers)}
    return {"values": saved.plain_values(), **saved.copied().flat_tensors(), **rotated}


def flat(plain: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested values under their paths, so that a test says which differ."""
    own = {f"{path}{name}": value for name, value in plain["values"].items()}
    for name, part in plain["parts"].items():
        own |= flat(part, f"{path}{name}/")
    return own


def is_same(one: Stream, other: Stream) -> bool:
    """Tell whether two streams are the same to the bit; name what differs."""
    first, second = everything(one), everything(other)
    ours, theirs = flat(first.pop("values")), flat(second.pop("values"))
    names = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
    names |= first.keys() ^ second.keys()
    names |= {name for name in first.keys() & second.keys() if not torch.equal(first[name], second[name])}
    assert not names, {name: (ours.get(name), theirs.get(name)) for name in names}
    return True


def streams(*sessions: Session) -> tuple[Stream, ...]:
    """Return what sessions are made of."""
    return tuple(session._stream for session in sessions)
