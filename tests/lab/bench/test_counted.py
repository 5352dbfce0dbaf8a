"""Kernels, bytes and waits are counted exactly, and what the device holds is followed."""

from __future__ import annotations

import pytest
import torch

from hermes_lab.bench.counted import count_run, count_tokens
from hermes_lab.bench.operation_count import OperationCount
from hermes_lab.bench.workload import make_workload, without_stop_tokens
from hermes_stream import HermesPolicy, WindowPolicy, load_model


@torch.inference_mode()
def test_kernels_and_bytes_of_what_the_device_does():
    weight, host = torch.ones(4, 8), torch.ones(3)
    with OperationCount([weight]) as count:
        product = weight @ weight.T  # one product; the transpose is a view
        (host + 1).sum()
        product[:2].add_(1)
    assert count.kernels == {"mm": 1, "add_": 1}
    assert count.num_bytes == 4 * (32 + 32 + 16 + 8 + 8)


@torch.inference_mode()
def test_waits_of_the_host():
    weight, host, device = torch.ones(4, 8), torch.arange(4), torch.device("cpu")
    with OperationCount([weight]) as count:
        host.tolist(), int(host.max()), host[host > 1], torch.arange(3).tolist()
        assert not count.waits
        weight[0].tolist()
        int(weight.sum())
        weight[weight > 0]
        weight[:, 0].nonzero()
        there = host.to(device)
        there.to(device)
        there.cpu().tolist()
        torch.tensor([1, 2], device=device)
        torch.arange(4, device=device)
    assert count.waits == {
        "tolist": 1,
        "_local_scalar_dense": 1,
        "index": 1,
        "nonzero": 1,
        "to the device": 1,
        "cpu the host": 1,
        "tensor on the device": 1,
    }
    assert count.has([there])
    assert not count.has([host])


@pytest.fixture(scope="module")
def workload():
    model = without_stop_tokens(load_model("tiny"))
    return model, make_workload(model, image_size=96, question_tokens=16, new_tokens=4, seed=0)


def test_the_same_counts_every_time(workload):
    model, shown = workload
    runs = [count_run(model, WindowPolicy(budget_tokens=36), shown, chunk_frames=4) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]["kernels_per_chunk"] > sum(runs[0]["kernels_by_stage"].values()) > 0
    assert runs[0]["launches_per_token"] < runs[0]["kernels_per_chunk"]


def test_choosing_the_tokens_of_many_answers_asks_no_more_than_that_of_one(workload):
    one, three = (count_tokens(*workload, num_streams=count) for count in (1, 3))
    assert one["syncs"] == three["syncs"] == 1
    assert 0 < one["kernels_beside_forward"] == three["kernels_beside_forward"]


def test_a_compression_waits_for_nothing(workload):
    model, shown = workload
    for policy in (HermesPolicy.best(36), HermesPolicy.paper(36)):
        run = count_run(model, policy, shown, chunk_frames=4)
        # The tower's own; pictures and positions are sent ahead, prompts are there already.
        assert run["syncs_by_call"] == {"to the device": 1}
        assert run["kernels_per_chunk"] <= 900
