"""A stream that was saved and restored is the same, and lives on the same, to the bit."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.checkpoints import random_frames, save_random_checkpoint
from tests.families import FAMILIES
from tests.lives import is_same, life, live, streams

from hermes_stream import (
    POLICIES,
    Frame,
    HermesPolicy,
    Session,
    Snapshot,
    SnapshotError,
    WindowPolicy,
    load_model,
)
from hermes_stream.filters import FILTERS
from hermes_stream.memory.state import MemoryState, RetentionPlan
from hermes_stream.policies.base import MemoryPolicy, PolicyFacts
from hermes_stream.stream import read_summary
from hermes_stream.stream.engine import Engine
from hermes_stream.stream.replacing import replace_file

QUESTION = "what is on screen now?"
BUDGET = 45


def policy_of(name: str) -> MemoryPolicy:
    make = POLICIES[name]
    return make() if make().budget_tokens is None else make(budget_tokens=BUDGET)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    return load_model(FAMILIES[request.param].save(tmp_path_factory.mktemp(request.param)))


def goes_on_alike(session: Session, events: list, moment: int, path: Path) -> None:
    """Live to a moment, save, and live on: saved, restored and forked end the same."""
    live(session, events[:moment])
    session.save(path)
    restored, forked = Session.restore(session.model, path), session.fork()
    assert is_same(*streams(session, restored))
    assert is_same(*streams(session, forked))
    lived = [live(one, events[moment:]) for one in (session, restored, forked)]
    assert lived[0] == lived[1] == lived[2]
    assert is_same(*streams(session, restored))
    assert is_same(*streams(session, forked))
    logits = [one.next_token_logits(QUESTION) for one in (session, restored, forked)]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


@pytest.mark.parametrize(("seed", "name"), list(enumerate(POLICIES)))
def test_any_policy_at_any_moment(model, tmp_path, name, seed):
    events = life(seed=seed)
    moment = int(np.random.default_rng(seed + 100).integers(0, len(events) + 1))
    session = Session(model, policy_of(name), chunk_frames=4, text_tokens=64)
    goes_on_alike(session, events, moment, tmp_path / "a")


@pytest.mark.parametrize("name", ["hermes", "full", "recent_n", "resv_bounded"])
def test_any_family(family, tmp_path, name):
    events = life(seed=3, num_frames=16)
    session = Session(family, policy_of(name), chunk_frames=4, text_tokens=96)
    goes_on_alike(session, events, len(events) // 2, tmp_path / "a")


OPTIONS = {
    "8 bits": {"kv_bits": 8},
    "8 bits and an archive": {"kv_bits": 8, "policy": "rekv_bounded"},
    "a rate": {"fps": 0.7},
    "still frames": {"still_below": 4.0},
    "still frames that are held": {"still_below": 4.0, "policy": "recent_n"},
    "nobody steers": {"guidance_from_questions": False},
    "compressions wait": {"defers_compression": True},
    "large chunks": {"chunk_frames": 16},
    **{f"filter {name}": {"filter": name} for name in FILTERS},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_any_option(model, tmp_path, options):
    events = life(seed=5)
    given = {"policy": "hermes", "chunk_frames": 4, "text_tokens": 64} | options
    goes_on_alike(Session(model, budget_tokens=BUDGET, **given), events, len(events) * 2 // 3, tmp_path / "a")


@pytest.mark.parametrize("options", [{"still_below": 4.0}, {"filter": "dedup"}, {}])
def test_deepstack_and_text_of_patches(tmp_path, options):
    model = load_model(FAMILIES["qwen3_vl"].save(tmp_path / "model"))
    session = Session(model, "hermes", budget_tokens=60, chunk_frames=4, text_tokens=64, **options)
    events = life(seed=7, num_frames=16)
    goes_on_alike(session, events, len(events) // 2, tmp_path / "a")


def test_a_memory_near_the_last_position(tmp_path):
    model = load_model(save_random_checkpoint(tmp_path / "model", max_positions=256))
    session = Session(model, "hermes", budget_tokens=BUDGET, chunk_frames=4, text_tokens=64)
    session.observe(random_frames(30))
    assert not session.cache.is_untouched
    goes_on_alike(session, [e for e in life(seed=8) if not e.frames][:2], 1, tmp_path / "a")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(checkpoint_folder, tmp_path, dtype):
    model = load_model(checkpoint_folder, dtype=dtype)
    events = life(seed=9, num_frames=20)
    goes_on_alike(
        Session(model, budget_tokens=BUDGET, chunk_frames=4, filter="dedup"), events, 4, tmp_path / "a"
    )


def test_a_stream_of_an_engine(model, tmp_path):
    engine = Engine(model)
    handle = engine.add(HermesPolicy.paper(BUDGET), chunk_frames=4, overflow="drop_oldest")
    frames = random_frames(50)
    handle.observe(frames[:31])
    engine.step()  # a chunk is in hand
    assert not handle.is_settled
    handle.save(tmp_path / "a")
    restored, forked = engine.restore(tmp_path / "a", overflow="drop_oldest"), engine.fork(handle)
    assert is_same(handle.stream, restored.stream)
    said = []
    for one in (handle, restored, forked):
        one.observe(frames[31:])
        said.append(one.ask(QUESTION, max_new_tokens=3).text)
    assert len(set(said)) == 1
    assert restored.num_dropped_frames == handle.num_dropped_frames
    session = Session.restore(model, tmp_path / "a")
    session.observe(frames[31:])
    assert session.ask(QUESTION, max_new_tokens=3).text == said[0]


def test_a_snapshot_does_not_follow_its_stream(model, tmp_path):
    session = Session(model, "resv", budget_tokens=BUDGET, chunk_frames=4, fps=0.5)
    session.observe(random_frames(30))
    snapshot = session.snapshot()
    before = session.fork()
    session.observe(random_frames(30, start=30))
    assert is_same(*streams(before, Session.restore(model, snapshot.write(tmp_path / "a"))))
    summary = read_summary(tmp_path / "a")
    assert summary == snapshot.summary
    assert (summary.num_frames, summary.newest_seconds, summary.policy) == (15, 29.0, "ResvPolicy")


def test_a_frame_that_failed_before_is_known(model, tmp_path, monkeypatch):
    session = Session(model, "window", budget_tokens=BUDGET, chunk_frames=4)
    session.observe(random_frames(3))
    with monkeypatch.context() as patched:
        patched.setattr(type(model), "encode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            session.flush()
    session.save(tmp_path / "a")
    assert is_same(*streams(session, Session.restore(model, tmp_path / "a")))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPolicy(MemoryPolicy):
    facts: ClassVar[PolicyFacts] = PolicyFacts(summary="the newest", paper=None)
    budget_tokens: int = BUDGET
    pair: tuple[int, int] = (1, 2)

    def plan(self, state: MemoryState) -> RetentionPlan:
        return WindowPolicy(budget_tokens=self.budget_tokens).plan(state)


def test_a_policy_of_ones_own_is_given(model, tmp_path):
    session = Session(model, OwnPolicy(), chunk_frames=4)
    session.observe(random_frames(9))
    session.save(tmp_path / "a")
    with pytest.raises(SnapshotError, match=r"OwnPolicy.*give it: policy="):
        Session.restore(model, tmp_path / "a")
    with pytest.raises(SnapshotError, match=r"was given; give that one"):
        Session.restore(model, tmp_path / "a", policy=OwnPolicy(budget_tokens=50))
    assert is_same(*streams(session, Session.restore(model, tmp_path / "a", policy=OwnPolicy())))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwritablePolicy(MemoryPolicy):
    facts: ClassVar[PolicyFacts] = PolicyFacts(summary="the newest", paper=None)
    budget_tokens: int = BUDGET
    weights: object = object()

    def plan(self, state: MemoryState) -> RetentionPlan:
        return WindowPolicy(budget_tokens=self.budget_tokens).plan(state)


def test_a_policy_that_no_file_can_hold_is_forked_and_not_saved(model, tmp_path):
    session = Session(model, UnwritablePolicy(), chunk_frames=4)
    session.observe(random_frames(9))
    assert is_same(*streams(session, session.fork()))
    with pytest.raises(SnapshotError, match="UnwritablePolicy cannot be written"):
        session.save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_another_model_is_refused(model, tmp_path):
    session = Session(model, chunk_frames=4)
    session.observe(random_frames(6))
    session.save(tmp_path / "a")
    others = {
        "weights": {"seed": 1},
        "config": {"num_layers": 9},
    }
    for part, settings in others.items():
        other = load_model(save_random_checkpoint(tmp_path / part, **settings))
        with pytest.raises(SnapshotError, match=f"has another {part}; load the model that it was made with"):
            Session.restore(other, tmp_path / "a")
        with pytest.raises(SnapshotError, match=f"has another {part}"):
            Engine(other).restore(tmp_path / "a")
    same = load_model(save_random_checkpoint(tmp_path / "elsewhere"))
    assert is_same(*streams(session, Session.restore(same, tmp_path / "a")))


def test_an_engine_that_refuses_keeps_no_stream(model, tmp_path):
    session = Session(model, chunk_frames=4)
    session.observe(random_frames(6))
    snapshot = session.snapshot()
    broken = Snapshot(
        model=snapshot.model, options=snapshot.options, state=snapshot.state.part("intake"), written_at=0.0
    )
    engine = Engine(model)
    with pytest.raises(SnapshotError, match="num_changes"):
        engine.restore(broken)
    assert engine.streams == ()


def test_numbers_of_numpy_are_numbers(model, tmp_path):
    session = Session(model, "window", budget_tokens=BUDGET, chunk_frames=4)
    image = random_frames(1)[0].image
    session.observe(Frame(pts_seconds=np.float32(k / 3), image=image) for k in range(6))
    session.save(tmp_path / "a")
    restored = Session.restore(model, tmp_path / "a")
    for one in (session, restored):
        one.observe(Frame(pts_seconds=np.float32(k / 3), image=image) for k in range(6, 12))
    assert is_same(*streams(session, restored))


def test_pictures_that_are_views_are_saved(model, tmp_path):
    session = Session(model, "recent_n", budget_tokens=BUDGET, chunk_frames=4)
    session.observe(Frame.from_bgr(one.image, one.pts_seconds) for one in random_frames(4))
    for frame in random_frames(3, start=4):
        session.observe(replace(frame, image=frame.image[::-1, ::-1, ::-1]))
    session.save(tmp_path / "a")
    assert is_same(*streams(session, Session.restore(model, tmp_path / "a")))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a"
    replace_file(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_missing_is_named(model, tmp_path):
    session = Session(model)
    with pytest.raises(SnapshotError, match="cannot be written"):
        session.save(tmp_path / "none" / "a")
    with pytest.raises(SnapshotError, match="cannot be read"):
        Session.restore(model, tmp_path / "none")


def test_options_are_values_of_json(model):
    session = Session(model, HermesPolicy.best(BUDGET), filter="dtd")
    options = session.snapshot().options
    assert json.loads(json.dumps(options)) == options
    assert options["policy"]["class"] == "HermesPolicy"
