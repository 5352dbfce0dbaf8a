"""The kernel for packed sequences is chosen by a trial, and one that had no memory decides nothing."""

from __future__ import annotations

import pytest
import torch

from hermes_stream import packed_kernel

CUDA = torch.device("cuda", 7)  # that no other test asks for: what is chosen is kept


@pytest.mark.parametrize("choose", [packed_kernel.packed_kernel, packed_kernel.summing_kernel])
def test_a_trial_without_memory_is_made_again(monkeypatch, choose):
    trials = []

    def agrees(*_: object) -> bool:
        trials.append(1)
        if len(trials) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return True

    monkeypatch.setattr(packed_kernel, "agrees", agrees)
    monkeypatch.setattr(packed_kernel, "_sums_agree", agrees)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            choose(CUDA, torch.bfloat16, 128)
        assert choose(CUDA, torch.bfloat16, 128) is not None
        assert choose(CUDA, torch.bfloat16, 128) is not None
        assert len(trials) == 2
    finally:
        choose.cache_clear()


def test_a_kernel_that_a_device_does_not_have_is_not_used():
    def agrees(kernel: object) -> bool:
        raise RuntimeError(f"no such kernel: {kernel}")

    assert packed_kernel.kernel_that(agrees, CUDA) is None


def test_a_text_of_two_tokens_is_read_causally():
    sizes = [packed_kernel.shape_options(count, 9)["window_size"] for count in (1, 2, 3)]
    assert sizes == [packed_kernel.ALL, packed_kernel.CAUSAL, packed_kernel.CAUSAL]


def test_a_kernel_is_tried_in_both_ways_that_it_will_be_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(
        packed_kernel, "_agrees", lambda _, lengths, *__, **___: asked.append(lengths) or True
    )
    assert packed_kernel.agrees(object, CUDA, torch.bfloat16, 8)
    ways = {packed_kernel.shape_options(max(lengths), 9)["window_size"] for lengths in asked}
    assert ways == {packed_kernel.CAUSAL, packed_kernel.ALL}
