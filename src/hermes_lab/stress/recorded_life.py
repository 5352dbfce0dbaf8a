"""A life that goes on from any moment: what a frame shows, and what is asked, follow from its number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hermes_stream.models import VideoModel
from hermes_stream.saved import Saved
from hermes_stream.service.journal import Journal, replay
from hermes_stream.service.snapshots import Snapshots
from hermes_stream.stream import Session
from hermes_stream.stream.changes import Change
from hermes_stream.stream.stream import Stream
from hermes_stream.video.frame import Frame

_ASK_EVERY, _FLUSH_EVERY = 13, 17
_QUESTIONS = ("what came first?", "what is on screen now?", "was there a circle?")
STYLES: tuple[dict[str, Any], ...] = (
    {"policy": "hermes"},
    {"policy": "hermes_best", "filter": "dedup", "still_below": 4.0},
    {"policy": "rekv_bounded", "kv_bits": 8},
    {"policy": "recent_n", "still_below": 4.0},
    {"policy": "window", "filter": "dtd"},
)


class RecordedLife:
    """One stream that watches frame after frame, its memory in a folder.

    Args:
        model: watches.
        style: which of the choices of policy and options.
        seed: of the pictures.
    """

    def __init__(self, model: VideoModel, *, style: int, seed: int) -> None:
        self._model, self._seed = model, seed
        self._choices = STYLES[style % len(STYLES)]

    def begin(self) -> Session:
        """Return a session that has seen nothing."""
        choices = dict(self._choices)
        budget = 8 * self._model.card.tokens_per_temporal_patch
        return Session(
            self._model,
            choices.pop("policy"),
            budget_tokens=budget,
            chunk_frames=4,
            text_tokens=96,
            defers_compression=True,
            **choices,
        )

    def restore(self, folder: Path) -> tuple[Session, Journal, Snapshots]:
        """Return a session as it was when the program that kept it in a folder was killed."""
        snapshots, journal = Snapshots(folder / "snapshots"), Journal(folder / "journal")
        if snapshots.newest() is None:
            session = self.begin()
            snapshots.write(session.snapshot(), epoch=0)
        else:
            session = snapshots.restore_newest(lambda path: Session.restore(self._model, path))
            replay(journal, session)
        journal.begin(session.num_changes)
        return session, journal, snapshots

    def go_on(self, session: Session) -> int:
        """Do what is due after the newest frame, then watch the next; return its number."""
        stats = session.stats
        index = stats.num_frames
        self._act(session, index - 1)
        session.observe(self._frame(index))
        self._act(session, index)
        return index

    def _act(self, session: Session, index: int) -> None:
        """Do what is due after a frame, unless it was done already."""
        if index % _FLUSH_EVERY == 3:
            session.flush()
        num_due = (index + _ASK_EVERY - 5) // _ASK_EVERY if index >= 0 else 0
        if session.stats.num_questions < num_due:
            question = _QUESTIONS[num_due % len(_QUESTIONS)]
            session.ask(question, max_new_tokens=3).finish()

    def _frame(self, index: int) -> Frame:
        # every third picture shows what the one before showed
        rng = np.random.default_rng((self._seed, index - (index % 3 == 2)))
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = blocks.repeat(12, axis=0).repeat(12, axis=1)
        return Frame(pts_seconds=float(index), image=image)

    def digests(self, num_frames: int) -> list[str]:
        """Live undisturbed; return the digest of the memory after each change, that of none first."""
        session = self.begin()
        found = [digest(session._stream)]

        def look(_: Change) -> None:
            found.append(digest(session._stream))

        session.record(look)
        while session.stats.num_frames < num_frames:
            self.go_on(session)
        return found


def digest(stream: Stream) -> str:
    """Return a hash of all that a stream remembers, rotated keys included."""
    cache = stream.cache
    rotated = {f"rotated.{k}": cache.rotated_keys(k).cpu() for k in range(cache.layout.num_layers)}
    return digest_of(stream.saved(), rotated)


def digest_of(saved: Saved, more: Mapping[str, Tensor] | None = None) -> str:
    """Return a hash of a state.

    Args:
        saved: the state.
        more: tensors that belong to it.
    """
    digest = hashlib.sha256(json.dumps(saved.plain_values(), sort_keys=True).encode())
    tensors = saved.copied().flat_tensors() | dict(more or {})
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
