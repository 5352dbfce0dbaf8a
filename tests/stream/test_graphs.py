"""Forwards of fixed shape give the answers of ordinary ones, and leave the memory alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.checkpoints import random_frames
from tests.packed import packed_by_loops, summing_by_loops

from hermes_stream import Engine, FullPolicy, HermesPolicy, Session, WindowPolicy, load_model
from hermes_stream.blocks import BufferBlocks
from hermes_stream.policies import RekvPolicy
from hermes_stream.stream import graphs
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.graphs import TextGraphs
from hermes_stream.synthetic.world import generate_world

RESULTS = Path(__file__).parents[2] / "results"
QUESTIONS = ("what is on screen now?", "was there a red circle?", "what came first?")
LONG_QUESTION = " and ".join(["what is on screen now"] * 8) + "?"


def session_of(model, policy, *, fixed: bool, **options) -> Session:
    return Session(model, policy, executor=fixing(model) if fixed else Executor(model), **options)


def fixing(model) -> Executor:
    """Return what serves text by forwards of fixed shape, as on a GPU, where each stream has a block."""
    blocks = BufferBlocks(2)
    blocks.room_bytes = None
    return Executor(model, graphs=TextGraphs(model, captures=False), blocks=blocks)


def counting(monkeypatch) -> list[int]:
    """Note the length of every forward of fixed shape."""
    lengths, forward = [], graphs.forward_fixed

    def noting(decoder, embeddings, text):
        lengths.append(len(embeddings))
        return forward(decoder, embeddings, text)

    monkeypatch.setattr(graphs, "forward_fixed", noting)
    return lengths


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("name", ["tiny", "tiny-qwen"])
def test_answers_are_those_of_ordinary_forwards(name, in_parts, monkeypatch):
    model = load_model(name)
    if in_parts:
        monkeypatch.setattr(graphs, "summing_kernel", lambda *_: summing_by_loops)
    lengths = counting(monkeypatch)
    plain, fixed = (session_of(model, HermesPolicy.paper(60), fixed=fixed) for fixed in (False, True))
    frames = list(generate_world(5, 60).frames(model.card.default_fps))
    for part in (frames[:9], frames[9:]):
        for session in (plain, fixed):
            session.observe(part)
        for question in QUESTIONS:
            expected = plain.next_token_logits(question)
            torch.testing.assert_close(fixed.next_token_logits(question), expected, rtol=1e-4, atol=1e-4)
            assert fixed.ask(question).text == plain.ask(question).text
    assert {1, 32} <= set(lengths) <= {1, 8, 32}
    options = ["red circle", "blue square", "green star"]
    assert fixed.ask(QUESTIONS[2], options).text == plain.ask(QUESTIONS[2], options).text


@pytest.mark.parametrize("has_kernels", [False, True])
def test_questions_of_up_to_256_tokens_have_a_fixed_shape(model, has_kernels, monkeypatch):
    """Read as a whole: parts of so many take twice the memory."""
    if has_kernels:
        monkeypatch.setattr(graphs, "packed_kernel", lambda *_: packed_by_loops)
        monkeypatch.setattr(graphs, "summing_kernel", lambda *_: pytest.fail("read in parts"))
    lengths, options = counting(monkeypatch), {"text_tokens": 600}
    plain, fixed = (
        session_of(model, WindowPolicy(budget_tokens=60), fixed=one, **options) for one in (False, True)
    )
    for session in (plain, fixed):
        session.observe(random_frames(8))
    for count, expected in ((30, 256), (50, None)):
        question = " and ".join(["what is on screen now"] * count) + "?"
        lengths.clear()
        found, other = (one.next_token_logits(question) for one in (fixed, plain))
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)
        assert lengths == ([] if expected is None else [expected])


def test_what_is_captured_takes_little():
    """At 7B, by the stored reckoning: 256 tokens fit the pool that 128 in parts need, and 512 would not."""
    stored = json.loads((RESULTS / "reckoned_graphs.json").read_text())["like_7b"]
    most = {(r["model"], r["num_tokens"], r["is_in_parts"]): r["forward_bytes"] for r in stored}
    for model in ("llava-onevision-7b", "qwen2.5-vl-7b"):
        assert most[model, 256, False] <= most[model, 128, True] < 40e6
        assert most[model, 512, False] > 1.9 * most[model, 128, True]
    assert graphs.LENGTHS[-1] == 256


def test_the_memory_is_the_same_after_it(model):
    session = session_of(model, HermesPolicy.paper(40), fixed=True, chunk_frames=4)
    session.observe(random_frames(14))
    session.flush()
    cache = session.cache
    held = [
        (cache.keys(k).clone(), cache.rotated_keys(k).clone(), cache.values(k).clone()) for k in range(10)
    ]
    first = session.next_token_logits(QUESTIONS[0])
    texts = {session.ask(QUESTIONS[1], max_new_tokens=5).text for _ in range(3)}
    assert len(texts) == 1
    for k, (keys, rotated, values) in enumerate(held):
        assert torch.equal(cache.keys(k), keys)
        assert torch.equal(cache.rotated_keys(k), rotated)
        assert torch.equal(cache.values(k), values)
    assert torch.equal(session.next_token_logits(QUESTIONS[0]), first)


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        (FullPolicy(), {}),  # its buffers may move
        (RekvPolicy(budget_tokens=60), {}),  # a question lays out what it reads
        (WindowPolicy(budget_tokens=60), {"kv_bits": 8}),  # keys are turned when they are read
    ],
)
def test_what_has_no_fixed_shape_runs_as_ever(model, monkeypatch, policy, options):
    lengths = counting(monkeypatch)
    plain, fixed = (session_of(model, policy, fixed=fixed, **options) for fixed in (False, True))
    for session in (plain, fixed):
        session.observe(random_frames(8))
    assert torch.equal(fixed.next_token_logits(QUESTIONS[0]), plain.next_token_logits(QUESTIONS[0]))
    assert not lengths


def test_streams_do_not_share_what_is_fixed(model):
    executor = fixing(model)
    sessions = [Session(model, WindowPolicy(budget_tokens=60), executor=executor) for _ in range(2)]
    alone = [session_of(model, WindowPolicy(budget_tokens=60), fixed=False) for _ in range(2)]
    for k, (session, own) in enumerate(zip(sessions, alone, strict=True)):
        for watcher in (session, own):
            watcher.observe(random_frames(8, seed=k))
    for session, own in zip(sessions * 2, alone * 2, strict=True):
        expected = own.next_token_logits(QUESTIONS[0])
        torch.testing.assert_close(session.next_token_logits(QUESTIONS[0]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "tiny-qwen"])
@pytest.mark.parametrize("per_block", [2, 4])
def test_streams_of_an_engine_share_forwards_of_fixed_shape(name, per_block, monkeypatch):
    model = load_model(name)
    answers = []
    for fixed in (False, True):
        engine = Engine(model, memory_bytes=2**30, streams_per_block=per_block)
        if fixed:
            monkeypatch.setattr(graphs, "packed_kernel", lambda *_: packed_by_loops)
            monkeypatch.setattr(graphs, "summing_kernel", lambda *_: summing_by_loops)
            own = TextGraphs(model, captures=False)
            engine.executor = Executor(model, blocks=engine.executor.blocks, graphs=own)
            lengths = counting(monkeypatch)
        handles = [engine.add(HermesPolicy.best(60)) for _ in range(3)]
        for k, handle in enumerate(handles):
            handle.observe(list(generate_world(k, 30 + 7 * k).frames(model.card.default_fps)))
        engine.run()
        asked = [handle.ask(question) for handle in handles for question in (*QUESTIONS, LONG_QUESTION)]
        engine.run()
        answers.append([one.text for one in asked])
    assert answers[0] == answers[1]
    # questions of a block together, then their answers, side by side
    assert {32, 64, per_block} <= set(lengths) <= {1, 2, 4, 8, 32, 64}


@pytest.mark.parametrize("per_block", [2, 4])
def test_forwards_are_tried_when_a_stream_comes(model, per_block, monkeypatch):
    tried, here = [], model.layout.device

    def capture(self, pool):
        assert pool == "pool"
        self._compute()
        tried.append(self.length)

    monkeypatch.setattr(graphs, "packed_kernel", lambda *_: packed_by_loops)
    monkeypatch.setattr(graphs, "RecordingPool", lambda device: "pool" if device == here else None)
    monkeypatch.setattr(graphs._Forward, "capture", capture)
    engine = Engine(model, memory_bytes=2**30, streams_per_block=per_block)
    own = TextGraphs(model, captures=True)
    engine.executor = Executor(model, blocks=engine.executor.blocks, graphs=own)
    handles = [engine.add(WindowPolicy(budget_tokens=60), chunk_frames=3) for _ in range(3)]
    first = [1, 32, 64, 128]
    assert tried == ([*first, 2, *first] if per_block == 2 else [*first, 2, 4])
    plain = Session(model, WindowPolicy(budget_tokens=60), chunk_frames=3, executor=Executor(model))
    for watcher in (handles[0], plain):
        watcher.observe(random_frames(12))
    engine.run()
    answers = [one.ask(QUESTIONS[0], max_new_tokens=4) for one in (handles[0], plain)]
    engine.run()
    assert answers[0].text == answers[1].text


def test_padding_writes_where_nothing_is(model, monkeypatch):
    monkeypatch.setattr(graphs, "packed_kernel", lambda *_: packed_by_loops)
    monkeypatch.setattr(graphs, "summing_kernel", lambda *_: summing_by_loops)
    engine = Engine(model, memory_bytes=2**30, streams_per_block=4)
    own = TextGraphs(model, captures=False)
    engine.executor = Executor(model, blocks=engine.executor.blocks, graphs=own)
    handles = [engine.add(WindowPolicy(budget_tokens=60), chunk_frames=3) for _ in range(4)]
    for k, handle in enumerate(handles):
        handle.observe(random_frames(9, seed=k))
    engine.run()
    caches = [handle.stream.cache for handle in handles]
    held = [
        [(c.keys(k).clone(), c.rotated_keys(k).clone(), c.values(k).clone()) for k in range(10)]
        for c in caches
    ]
    answers = [handle.ask(QUESTIONS[0], max_new_tokens=4) for handle in handles[:3]]
    engine.run()
    assert all(len(answer.token_ids) for answer in answers)
    for cache, before in zip(caches, held, strict=True):
        for k, (keys, rotated, values) in enumerate(before):
            assert torch.equal(cache.keys(k), keys)
            assert torch.equal(cache.rotated_keys(k), rotated)
            assert torch.equal(cache.values(k), values)
