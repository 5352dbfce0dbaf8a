"""Streams in one block are written and read at once, and answer as streams alone do."""

from __future__ import annotations

import gc
import math

import pytest
import torch
from tests.checkpoints import random_frames
from tests.packed import packed_by_loops, summing_by_loops

from hermes_lab.bench.operation_count import OperationCount
from hermes_stream import Engine, HermesPolicy, WindowPolicy, attention_batch
from hermes_stream import packed_kernel as kernels
from hermes_stream.attention import forward
from hermes_stream.attention_batch import SegmentBatch
from hermes_stream.packed_kernel import agrees, packed_kernel, summing_kernel
from hermes_stream.segments import Segment
from hermes_stream.stream.positions import text_positions

QUESTIONS = ("what is on screen now?", "was there a red circle?", "what came first?")


def streams(model, num_streams, *, per_block, policy=None, **options):
    """Open streams that have watched more and more, so that they hold different numbers of tokens."""
    engine = Engine(model, memory_bytes=2**30, streams_per_block=per_block)
    handles = [
        engine.add(policy or WindowPolicy(budget_tokens=60), chunk_frames=2, **options)
        for _ in range(num_streams)
    ]
    for k, handle in enumerate(handles):
        handle.observe(random_frames(2 + 2 * k, seed=k))
    engine.run()
    return engine, handles


def caches(handles):
    return [handle.stream.cache for handle in handles]


def token_segments(model, own, *, words=()):
    """Return a segment of one token for each cache; those of ``words`` get a question instead."""
    segments = []
    for k, cache in enumerate(own):
        ids = model.chat.encode(QUESTIONS[k % 3])[: None if k in words else 1]
        positions = text_positions(1, len(ids), cache.next_position)
        cache.append(positions)
        segments.append(Segment(cache=cache, embeddings=model.embed(ids), positions=positions))
    return segments


@pytest.mark.parametrize("words", [(), (2,)])
@pytest.mark.parametrize("asked", [(0, 1, 2, 3), (3, 1, 2), (0, 2, 3)])
@torch.no_grad()
def test_what_is_written_and_read_at_once_is_what_the_loop_writes_and_reads(model, asked, words):
    found = []
    for per_block in (1, 4):
        _, handles = streams(model, 4, per_block=per_block)
        own = [caches(handles)[k] for k in asked]
        segments = token_segments(model, own, words=words)
        batch = SegmentBatch.of([one.cache for one in segments], [len(one.embeddings) for one in segments])
        assert (batch is None) == (per_block == 1)
        assert batch is None or (batch.reading is None) == bool(words)
        hidden = forward(model.decoder, segments)
        found.append((hidden, caches(handles)))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert one.num_tokens == other.num_tokens
        for held in ("keys", "rotated_keys", "values"):
            for k in range(10):
                mine, theirs = getattr(one, held)(k), getattr(other, held)(k)
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_few_of_many_rows_are_read_one_by_one(model):
    _, handles = streams(model, 5, per_block=5)
    own = caches(handles)
    assert SegmentBatch.of([own[0], own[4]], [1, 1]).reading is None
    assert SegmentBatch.of([own[0], own[3]], [1, 1]).reading is not None
    assert SegmentBatch.of(own[:2], [1, 5]).reading is None
    assert SegmentBatch.of([own[0], None], [1, 1]) is None


@pytest.mark.parametrize("words", [(), (1,), (0, 1, 2)])
@torch.no_grad()
def test_the_packed_kernel_is_told_what_the_loop_knows(model, monkeypatch, words):
    called = []

    def kernel(query, key, value, *, cu_seq_q, cu_seq_k, **options):
        called.append(len(query))
        return packed_by_loops(query, key, value, cu_seq_q, cu_seq_k, **options)

    found = []
    for per_block in (1, 4):
        _, handles = streams(model, 4, per_block=per_block)
        if per_block > 1:
            monkeypatch.setattr(attention_batch, "packed_kernel", lambda *_: kernel)
        own = [caches(handles)[k] for k in (3, 0, 2)]
        found.append(forward(model.decoder, token_segments(model, own, words=words)))
    assert len(called) == 10
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_kernel_is_taken_only_where_it_agrees_with_plain_attention():
    where = torch.device("cpu"), torch.float32, 16

    def kernel(query, key, value, *, cu_seq_q, cu_seq_k, **options):
        return packed_by_loops(query, key, value, cu_seq_q, cu_seq_k, **options)

    def forgetful(*args, seqused_k, **options):
        return kernel(*args, seqused_k=seqused_k - 1, **options)

    assert agrees(kernel, *where)
    assert not agrees(forgetful, *where)
    assert packed_kernel(*where) is None


@pytest.mark.parametrize("policy", [WindowPolicy(budget_tokens=60), HermesPolicy.best(60)])
def test_an_engine_answers_the_same(model, policy):
    texts = []
    for per_block in (1, 2, 3):
        engine, handles = streams(model, 3, per_block=per_block, policy=policy)
        answers = []
        for _ in range(2):
            asked = [
                handle.ask(question, max_new_tokens=6)
                for handle, question in zip(handles, QUESTIONS, strict=True)
            ]
            engine.run()
            answers += [one.text for one in asked]
        texts.append((answers, [handle.stream.cache.num_tokens for handle in handles]))
    assert texts[0] == texts[1] == texts[2]


def test_room_is_reserved_counted_and_used_again(model):
    engine, handles = streams(model, 1, per_block=3)
    alone, _ = streams(model, 1, per_block=1)
    row = handles[0].stream.cache.buffers.block.row_bytes
    assert engine.used_bytes == alone.used_bytes + 2 * row
    other = engine.add(WindowPolicy(budget_tokens=60), chunk_frames=2)
    assert other.stream.cache.buffers.block is handles[0].stream.cache.buffers.block
    assert other.stream.cache.buffers.row != handles[0].stream.cache.buffers.row
    before = engine.used_bytes
    other.close()
    del other
    gc.collect()
    assert engine.used_bytes < before
    assert handles[0].stream.cache.buffers.block.num_free == 2
    handles.pop().close()
    gc.collect()
    assert engine.used_bytes == 0


def test_a_block_that_does_not_fit_is_not_reserved(model):
    alone, _ = streams(model, 1, per_block=1)
    engine = Engine(model, memory_bytes=alone.used_bytes, streams_per_block=2)
    handle = engine.add(WindowPolicy(budget_tokens=60), chunk_frames=2)
    assert handle.stream.cache.buffers.block is None
    assert engine.used_bytes == alone.used_bytes


def test_a_token_of_many_streams_launches_less(model):
    launched = []
    for per_block in (1, 6):
        engine, handles = streams(model, 6, per_block=per_block)
        counts = []
        for num_tokens in (2, 3):
            for handle in handles:
                handle.ask(QUESTIONS[0], max_new_tokens=num_tokens)
            count = OperationCount(model.decoder.parameters())
            with count:
                engine.run()
            counts.append(count.num_kernels)
        launched.append(counts[1] - counts[0])
    # Of six streams' writes and reads in ten layers: 3 and 1 for each before.
    assert launched[0] - launched[1] > 10 * 3 * 5


def test_a_kernel_with_other_sums_is_not_taken(monkeypatch):
    where = torch.device("cpu"), torch.float32, 16
    monkeypatch.setattr(kernels, "_flash_with_sums", summing_by_loops)
    assert kernels._sums_agree(*where)

    def by_twos(*args, **options):
        output, sums = summing_by_loops(*args, **options)
        return output, sums / math.log(2)

    monkeypatch.setattr(kernels, "_flash_with_sums", by_twos)
    assert not kernels._sums_agree(*where)
    assert summing_kernel(*where) is None
