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
