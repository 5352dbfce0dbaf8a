"""One question about one whole video, by hermes-stream alone; knows nothing of lmms-eval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hermes_lab.datasets.pictures import open_source
from hermes_stream import Frame, Session
from hermes_stream.models import VideoModel
from hermes_stream.policies import POLICIES, MemoryPolicy

ANSWER_TOKENS = 128


def make_policy(name: str, budget_tokens: int | None, model: VideoModel) -> MemoryPolicy:
    """Make a policy, with the model's default budget where none is asked for.

    Args:
        name: of the policy.
        budget_tokens: visual tokens that each layer keeps; None takes the model's default.
        model: on which it is used.

    Raises:
        ValueError: there is no such policy.
    """
    if name not in POLICIES:
        raise ValueError(f"{name!r} is no policy; choose one of {', '.join(POLICIES)}")
    if POLICIES[name]().budget_tokens is None:
        return POLICIES[name]()
    return POLICIES[name](budget_tokens=budget_tokens or model.card.default_budget_tokens)


def answer(session: Session, visuals: Sequence[Any], question: str, settings: Mapping[str, Any]) -> str:
    """Watch what is given, and answer.

    Args:
        session: has seen nothing yet.
        visuals: paths of videos, arrays of pictures, or pictures.
        question: what is asked, options included.
        settings: of the generation, in lmms-eval's words; ``max_new_tokens`` and ``until`` count.
    """
    stop = settings.get("until") or ()
    for frame in _frames(visuals, settings.get("fps", session.model.card.default_fps)):
        session.observe(frame)
    given = session.ask(
        question,
        max_new_tokens=int(settings.get("max_new_tokens") or ANSWER_TOKENS),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )
    return given.text


def _frames(visuals: Sequence[Any], fps: float) -> Iterator[Frame]:
    """Yield all frames, one visual after the other, on one clock."""
    begin_seconds = 0.0
    for visual in visuals:
        end_seconds = begin_seconds
        for frame in _frames_of(visual, fps):
            yield Frame(
                pts_seconds=begin_seconds + frame.pts_seconds,
                image=frame.image,
                duration_seconds=frame.duration_seconds,
            )
            end_seconds = begin_seconds + frame.pts_seconds + 1 / fps
        begin_seconds = end_seconds


def _frames_of(visual: Any, fps: float) -> Iterator[Frame]:
    if isinstance(visual, str | Path):
        source = open_source(Path(visual), fps=fps, pictures_fps=None, clip=None)
        for frame in source:
            shown_seconds = frame.pts_seconds - source.start_seconds
            yield Frame(pts_seconds=shown_seconds, image=frame.image, duration_seconds=frame.duration_seconds)
        return
    pictures = visual if isinstance(visual, list | tuple) else [visual]
    for number, picture in enumerate(pictures):
        image = np.array(picture.convert("RGB") if hasattr(picture, "convert") else picture, dtype=np.uint8)
        yield Frame(pts_seconds=number / fps, image=image, duration_seconds=1 / fps)
