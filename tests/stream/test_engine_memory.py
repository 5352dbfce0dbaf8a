"""What an engine takes beside the streams' buffers does not grow with the number of questions."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from tests.checkpoints import TOKENS_PER_TEMPORAL_PATCH, random_frames
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hermes_stream import Session, WindowPolicy
from hermes_stream.stream import engine as engine_module
from hermes_stream.stream import executor as executor_module
from hermes_stream.stream.engine import Engine

QUESTION = "what came first, and what is on screen now?"
CHUNK_FRAMES = 8
CHUNK_TOKENS = CHUNK_FRAMES * TOKENS_PER_TEMPORAL_PATCH


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that are made inside and alive."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self._known.update(_storages((args, kwargs)))
        made = func(*args, **(kwargs or {}))
        for key, storage in _storages(made).items():
            if key not in self._known:
                self._known.add(key)
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._freed, key, storage.nbytes())
        return made

    def _freed(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.live -= num_bytes


def _storages(values) -> dict[int, torch.UntypedStorage]:
    tensors = (one for one in tree_leaves(values) if isinstance(one, Tensor))
    return {storage._cdata: storage for one in tensors if (storage := one.untyped_storage())}


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch) -> None:
    """As small beside 32 streams of these sizes as the true bounds are beside true sizes."""
    monkeypatch.setattr(engine_module, "_ENCODED_TOKENS", 2 * CHUNK_TOKENS)
    monkeypatch.setattr(engine_module, "_STEP_TEXTS", 4)
    monkeypatch.setattr(executor_module, "_FORWARD_TOKENS", 2 * CHUNK_TOKENS)


def frames_of(index: int, count: int):
    return [replace(one, pts_seconds=one.pts_seconds + index) for one in random_frames(count, seed=index)]


def peak_of(model, num_streams: int, *, asks: bool, num_frames: int, overflow="drop_oldest") -> int:
    """Return the most bytes beside buffers while all streams take frames in, and answer if asked."""
    engine = Engine(model, step_tokens=CHUNK_TOKENS, memory_bytes=2**34)
    policy = WindowPolicy(budget_tokens=90)
    handles = [engine.add(policy, chunk_frames=CHUNK_FRAMES, overflow=overflow) for _ in range(num_streams)]
    for index, handle in enumerate(handles):
        handle.observe(frames_of(index, CHUNK_FRAMES))
    engine.run()
    for index, handle in enumerate(handles if num_frames else []):
        handle.observe(frames_of(index + 1000, num_frames))
    count = LiveBytes()
    with count:
        answers = [handle.ask(QUESTION, max_new_tokens=3) for handle in handles if asks]
        engine.run()
    assert all(len(answer.token_ids) == 3 for answer in answers)
    assert all(handle.stats.num_pending_frames == 0 for handle in handles)
    return count.peak


@pytest.mark.parametrize(
    "shown",
    [
        {"asks": True, "num_frames": CHUNK_FRAMES},
        {"asks": True, "num_frames": 3 * CHUNK_FRAMES},
        {"asks": False, "num_frames": CHUNK_FRAMES},
        {"asks": False, "num_frames": 2 * CHUNK_FRAMES, "overflow": "wait"},
        {"asks": True, "num_frames": 0},
    ],
    ids=[
        "chunks that questions wait for",
        "several that each waits for",
        "chunks",
        "chunks ahead",
        "questions",
    ],
)
def test_peak_bytes_do_not_grow_with_the_streams(model, shown):
    few, many = (peak_of(model, num_streams, **shown) for num_streams in (4, 32))
    assert many < 1.15 * few


def test_answers_are_those_of_a_session(model):
    engine, policy = Engine(model, step_tokens=CHUNK_TOKENS), WindowPolicy(budget_tokens=90)
    handles = [engine.add(policy, chunk_frames=CHUNK_FRAMES) for _ in range(9)]
    sessions, asked, expected = [], [], []
    for index, handle in enumerate(handles):
        session = Session(model, policy, chunk_frames=CHUNK_FRAMES)
        for watcher in (handle, session):
            watcher.observe(frames_of(index, 2 * CHUNK_FRAMES + index))
        asked.append(handle.ask(QUESTION, max_new_tokens=4))
        answer = session.ask(QUESTION, max_new_tokens=4)
        expected.append(answer.text)
        sessions.append(session)
    engine.run()
    assert [one.text for one in asked] == expected
    for handle, session in zip(handles, sessions, strict=True):
        for layer in range(10):
            torch.testing.assert_close(handle.stream.cache.keys(layer), session.cache.keys(layer))
