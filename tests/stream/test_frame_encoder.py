"""Frames that have not changed are not looked at again; those that have are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames

from hermes_stream import Frame, FullPolicy, Session, load_model
from hermes_stream.stream.frame_encoder import largest_change

QUESTION = "what came first?"


def looking(model, monkeypatch) -> list[int]:
    """Note how many frames are looked at, each time."""
    looked, encode = [], model.encode

    def noting(pixels):
        looked.append(pixels.grid[0])
        return encode(pixels)

    monkeypatch.setattr(model, "encode", noting)
    return looked


def stills(*numbers: int):
    """Frames that show pictures by their numbers."""
    pictures = random_frames(max(numbers) + 1)
    return [Frame(pts_seconds=float(k), image=pictures[n].image) for k, n in enumerate(numbers)]


@pytest.mark.parametrize("name", ["tiny", "tiny-qwen"])
def test_still_frames_are_seen_without_looking(name, monkeypatch):
    model = load_model(name)
    together = model.card.frames_per_temporal_patch
    shown = [n for n in (0, 0, 0, 1, 1, 2, 2, 2, 0, 0) for _ in range(together)]
    plain = Session(model, FullPolicy(), chunk_frames=4 * together)
    plain.observe(stills(*shown))
    expected = plain.next_token_logits(QUESTION)
    looked = looking(model, monkeypatch)
    session = Session(model, FullPolicy(), chunk_frames=4 * together, still_below=1.0)
    session.observe(stills(*shown))
    torch.testing.assert_close(session.next_token_logits(QUESTION), expected, rtol=1e-4, atol=1e-4)
    assert looked == [2, 1, 1]
    assert session.stats.num_still_frames == 6


def test_a_small_change_adds_up_until_it_is_seen(model, monkeypatch):
    looked = looking(model, monkeypatch)
    image = np.full((48, 48, 3), 100, np.uint8)
    session = Session(model, FullPolicy(), chunk_frames=1, still_below=5.0)
    for k in range(11):
        session.observe(Frame(pts_seconds=float(k), image=image + np.uint8(k)))
    assert looked == [1, 1, 1]
    assert session.stats.num_still_frames == 8


def test_a_chunk_that_fails_changes_nothing(model, monkeypatch):
    session = Session(model, FullPolicy(), chunk_frames=2, still_below=1.0)
    session.observe(stills(0, 0))
    newest = session._stream.memory.encoder._newest
    with monkeypatch.context() as patched:
        patched.setattr(type(model.decoder), "forward", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.observe([replace(frame, pts_seconds=frame.pts_seconds + 2) for frame in stills(1, 1)])
    assert session._stream.memory.encoder._newest is newest
    assert session.stats.num_still_frames == 1
    session.flush()
    assert session.stats.num_still_frames == 2


def test_the_block_that_changed_most_counts():
    old = np.zeros((40, 50, 3), np.uint8)
    new = old.copy()
    new[32:40, 48:50] = 60
    assert largest_change(old, new) == 60
    assert largest_change(old, old) == 0
    new = old.copy()
    new[:16, :8] = 200
    assert largest_change(old, new) == largest_change(new, old) == 100
    assert largest_change(old, old[:20]) == np.inf


@pytest.mark.parametrize("levels", [0, -1.0, float("nan"), float("inf")])
def test_a_senseless_threshold_is_refused(model, levels):
    with pytest.raises(ValueError, match="still_below must be grey levels above 0"):
        Session(model, FullPolicy(), still_below=levels)
