"""How long each stage of a stream takes, measured where someone asks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch

Stage = Literal["preprocess", "encode", "prefill", "compress", "question"]


class StageClock:
    """Adds up the seconds of each stage.

    Args:
        device: is waited for before and after each stage, so that its work is counted where it belongs;
            None counts what the host waits for.

    Attributes:
        seconds: of each stage that was entered so far.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def timing(self, weights: Mapping[Stage, float]) -> Iterator[None]:
        """Count what happens inside.

        Args:
            weights: of the stages that it belongs to; each gets its share.
        """
        wait_for(self._device)
        began = time.perf_counter()
        try:
            yield
        finally:
            wait_for(self._device)
            each = (time.perf_counter() - began) / sum(weights.values())
            for stage, weight in weights.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + weight * each


def wait_for(device: torch.device | None) -> None:
    """Wait until a device has done what was asked of it; the CPU has, always."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
