from __future__ import annotations

import torch

from hermes_lab.bench.peak_memory import graph_pools, measure_peak, pools_among

CPU = torch.device("cpu")


def test_the_peak_is_the_most_that_is_alive_at_once():
    def work():
        first = torch.empty(1000, dtype=torch.uint8)
        del first
        second = torch.empty(3000, dtype=torch.uint8)
        return torch.empty(500, dtype=torch.uint8), second

    assert 3500 <= measure_peak(CPU, work) < 4500


def test_what_was_there_before_does_not_count():
    before = torch.empty(10**6)
    assert measure_peak(CPU, lambda: before.add_(1)) < 10**5


def test_releasing_what_was_there_is_no_peak():
    held = [torch.empty(10**6)]
    assert measure_peak(CPU, held.clear) == 0


def segment(pool, total, allocated, device=0):
    return {
        "device": device,
        "segment_pool_id": pool,
        "total_size": total,
        "allocated_size": allocated,
    }


def test_pools_of_captured_forwards_count_with_what_is_free_in_them():
    common, text, vision = segment((0, 0), 900, 800), segment((0, 1), 100, 30), segment((0, 2), 60, 10)
    pools = pools_among([common, text, vision])
    assert (pools.reserved_bytes, pools.used_bytes, pools.free_bytes) == (160, 40, 120)


def test_pools_are_those_of_one_gpu(monkeypatch):
    segments = [segment((0, 1), 100, 30, device=0), segment((0, 1), 70, 70, device=1)]
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert graph_pools(torch.device("cuda:1")) == (70, 70)
    assert graph_pools(torch.device("cuda")) == (100, 30)
    assert graph_pools(CPU) == (0, 0)
