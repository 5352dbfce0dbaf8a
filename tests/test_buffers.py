"""Keys and values in 8 bits: rounded once, moved as they are, rotated when they are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.checkpoints import random_frames
from tests.test_cache import DIM, HEADS, LAYERS, PREFIX, fill, layout, plan

from hermes_stream import FullPolicy, HermesPolicy, Session
from hermes_stream.cache import StreamCache
from hermes_stream.eight_bits import from_8_bits, in_8_bits
from hermes_stream.errors import CapacityError
from hermes_stream.layout import KEY_GROUP
from hermes_stream.policies import InfinipotVPolicy, LiveVlmPolicy, RekvPolicy, StreamMemPolicy

QUESTION = "what came first?"


@pytest.mark.parametrize(("width", "group"), [(64, None), (64, KEY_GROUP), (40, KEY_GROUP), (8, KEY_GROUP)])
def test_a_number_is_off_by_half_a_step_of_its_group(width, group):
    torch.manual_seed(0)
    numbers = torch.randn(2, 50, width) * torch.logspace(-3, 3, width)
    codes, scales = in_8_bits(numbers, group)
    assert codes.dtype == torch.int8
    assert scales.shape == (2, 50, -(-width // (group or width)))
    for k, part in enumerate(numbers.split(group or width, dim=-1)):
        step = part.abs().amax(dim=-1, keepdim=True) / 127
        back = from_8_bits(codes, scales, torch.float32).split(group or width, dim=-1)[k]
        assert ((back - part).abs() <= 0.51 * step + 1e-7).all()


def test_zeros_stay_zeros():
    codes, scales = in_8_bits(torch.zeros(1, 3, 8), KEY_GROUP)
    assert from_8_bits(codes, scales, torch.float32).eq(0).all()


def caches(capacity: int = 40, *, growable: bool = False) -> tuple[StreamCache, StreamCache]:
    """Make the same memory twice, whole and in 8 bits."""
    made = []
    for kv_bits in (None, 8):
        torch.manual_seed(0)
        shape = replace(layout(3), kv_bits=kv_bits)
        cache = StreamCache(shape, [capacity] * LAYERS, num_prefix_tokens=PREFIX, growable=growable)
        fill(cache, PREFIX, visual=False)
        fill(cache, 10)
        made.append(cache)
    return made[0], made[1]


def assert_alike(whole: StreamCache, small: StreamCache) -> None:
    for layer in range(LAYERS):
        assert torch.equal(whole.positions(layer), small.positions(layer))
        for read in ("keys", "values", "rotated_keys"):
            expected, got = getattr(whole, read)(layer), getattr(small, read)(layer)
            assert (expected - got).abs().max() <= 0.03 * expected.abs().max()


def test_a_memory_in_8_bits_holds_what_a_whole_one_holds():
    whole, small = caches()
    assert_alike(whole, small)
    keep = plan([[0, 2, 3, 7], [1, 2, 8, 9], [0, 5, 6, 9]], summarize=True, reindex=True)
    for cache in (whole, small):
        cache.apply(keep)
    assert_alike(whole, small)
    for cache in (whole, small):
        torch.manual_seed(1)
        mark = cache.mark()
        fill(cache, 5, visual=False)
    assert_alike(whole, small)
    small.rewind(mark)
    whole.rewind(mark)
    assert_alike(whole, small)


def test_moving_rounds_nothing_again():
    _, small = caches()
    before = [small.keys(layer)[:, PREFIX:][:, [1, 4, 9]].clone() for layer in range(LAYERS)]
    small.apply(plan([[1, 4, 9]] * LAYERS, reindex=True))
    for layer in range(LAYERS):
        assert torch.equal(small.keys(layer)[:, PREFIX:], before[layer])


def test_a_memory_in_8_bits_grows_and_refuses_as_a_whole_one():
    whole, small = caches(capacity=14, growable=True)
    for cache in (whole, small):
        torch.manual_seed(2)
        fill(cache, 20)
    assert_alike(whole, small)
    _, small = caches(capacity=14)
    with pytest.raises(CapacityError):
        fill(small, 1)


def test_bytes_are_those_of_the_layout():
    whole, small = caches()
    for cache in (whole, small):
        assert cache.num_bytes == StreamCache.num_bytes_of(cache.layout, cache.buffers.capacities)
        tokens = sum(tensor.nbytes for tensor in cache.buffers.tensors) / 40
        assert tokens == cache.layout.bytes_per_token
    assert small.layout.bytes_per_token == LAYERS * HEADS * (2 * DIM + 2 * 2)
    assert small.num_bytes < whole.num_bytes / 2


POLICIES = (
    FullPolicy(),
    HermesPolicy.paper(40),
    HermesPolicy.best(60),
    InfinipotVPolicy(budget_tokens=60),
    LiveVlmPolicy(budget_tokens=60),
    StreamMemPolicy(budget_tokens=60),
    RekvPolicy(budget_tokens=60),
)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_memory_can_be_kept_in_8_bits(model, policy):
    session = Session(model, policy, chunk_frames=4, kv_bits=8)
    session.observe(random_frames(14))
    before = session.next_token_logits(QUESTION)
    assert before.isfinite().all()
    answer = session.ask(QUESTION, max_new_tokens=4)
    assert list(answer)
    assert answer.token_ids[0] == before.argmax()
    assert torch.equal(session.next_token_logits(QUESTION), before)


def test_logits_are_near_those_of_a_whole_memory(model):
    logits = []
    for kv_bits in (None, 8):
        session = Session(model, FullPolicy(), chunk_frames=4, kv_bits=kv_bits)
        session.observe(random_frames(12))
        logits.append(session.next_token_logits(QUESTION))
    apart = (logits[0] - logits[1]).abs().max()
    assert 0 < apart < 0.05 * logits[0].std()


@pytest.mark.parametrize("kv_bits", [4, 16, 0])
def test_other_numbers_of_bits_are_refused(model, kv_bits):
    with pytest.raises(ValueError, match=rf"kv_bits must be 8, or None .* got {kv_bits}"):
        Session(model, HermesPolicy.paper(40), kv_bits=kv_bits)
