from __future__ import annotations

import torch

from hermes_lab.bench.peak_memory import measure_peak

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
