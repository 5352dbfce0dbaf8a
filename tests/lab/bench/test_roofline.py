from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hermes_lab.bench import roofline
from hermes_lab.bench.roofline import Cost, Roofline, measure_roofline
from hermes_lab.bench.workload import Workload, make_workload
from hermes_stream.attention import forward
from hermes_stream.cache import StreamCache
from hermes_stream.segments import Segment


@pytest.fixture(scope="module")
def workload(model) -> Workload:
    return make_workload(model, image_size=56, question_tokens=1, new_tokens=2, seed=0)


@pytest.fixture(scope="module")
def cost(model, workload) -> Roofline:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roofline, "_TRY_SECONDS", 0.02)
        return measure_roofline(model, workload)


def test_the_longer_of_reading_and_computing_counts(cost):
    slow = replace(cost, memory_bytes_per_second=100.0, operations_per_second=1000.0)
    assert slow.seconds(Cost(200, 0)) == 2
    assert slow.seconds(Cost(200, 5000)) == 5
    assert slow.seconds(Cost(200, 0).plus(Cost(100, 10))) == 3


def test_weights_are_those_that_a_forward_reads(model, cost):
    looked_up = model.decoder.embed_tokens.weight
    weights = {id(w): w for w in (*model.decoder.parameters(), *model.head.parameters())}
    is_tied = model.head.weight is looked_up
    read = [w for w in weights.values() if w is not looked_up or is_tied]
    assert cost.weight_bytes == sum(w.nbytes for w in read)
    matrices = sum(w.numel() for w in read if w.dim() > 1)
    assert cost.decoder_parameters + cost.head_parameters == matrices


def test_operations_equal_those_that_run(model, cost):
    cache = StreamCache(model.layout, [1] * model.layout.num_layers, num_prefix_tokens=1)
    positions = torch.zeros(1, 1, dtype=torch.long)
    cache.append(positions)
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        segment = Segment(cache=cache, embeddings=model.embed([5]), positions=positions)
        model.logits(forward(model.decoder, [segment])[0][-1])
    ran = {str(name): count for name, count in counted.get_flop_counts()["Global"].items()}
    products = sum(count for name, count in ran.items() if name in ("aten.mm", "aten.addmm"))
    assert products == 2 * (cost.decoder_parameters + cost.head_parameters)
    assert cost.forward(1, 0).operations - products == cost.attention_operations


def test_eight_bits_are_less_to_read(model, workload, cost, monkeypatch):
    monkeypatch.setattr(roofline, "_TRY_SECONDS", 0.02)
    small = measure_roofline(model, workload, kv_bits=8)
    assert small.kv_bytes_per_token < cost.kv_bytes_per_token / 2
    assert small.buffer_bytes_per_token < cost.buffer_bytes_per_token / 2
    assert small.weight_bytes == cost.weight_bytes


def test_keys_and_values_are_read_and_written(cost):
    one, longer = cost.forward(1, 100), cost.forward(1, 101)
    assert longer.num_bytes - one.num_bytes == cost.kv_bytes_per_token
    assert one.num_bytes == cost.weight_bytes + 101 * cost.kv_bytes_per_token


def test_ingest_is_encoding_and_prefilling(model, cost):
    assert cost.tokens_per_picture == model.card.tokens_per_temporal_patch
    assert cost.encode_operations > 0
    ingested = cost.ingest(3, 10).operations - 3 * cost.encode_operations
    assert ingested == cost.forward(3 * cost.tokens_per_picture, 10, with_logits=False).operations


def test_speeds_of_this_machine(cost):
    assert cost.buffer_bytes == max(cost.weight_bytes // 8 * 8, 2**22)
    assert cost.memory_bytes_per_second > 1e6
    assert cost.operations_per_second > 1e6
