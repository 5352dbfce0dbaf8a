"""Whether a model and one stream fit a device, known before weights are read."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch

from hermes_stream.errors import DeviceError
from hermes_stream.host import host_free_bytes
from hermes_stream.models.card import kv_shape, read_budget_tokens

logger = logging.getLogger(__name__)

_TIGHT_SHARE = 0.9  # of what is free: activations and the libraries' own buffers need the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of a device that a model and one stream need.

    Attributes:
        weight_bytes: all weights, as loaded.
        bytes_per_token: one token of a stream's cache, over all layers.
        budget_tokens: visual tokens that each layer keeps when no other budget is asked for.
    """

    weight_bytes: int
    bytes_per_token: int
    budget_tokens: int

    @property
    def cache_bytes(self) -> int:
        """Return what a full budget takes."""
        return self.bytes_per_token * self.budget_tokens

    @property
    def total_bytes(self) -> int:
        """Return weights and one stream."""
        return self.weight_bytes + self.cache_bytes


def measure_footprint(config: Any, *, weight_bytes: int, dtype: torch.dtype) -> Footprint:
    """Return the footprint of a model that is not loaded yet.

    Args:
        config: transformers' config of the whole model.
        weight_bytes: all weights, as loaded.
        dtype: of keys and values.
    """
    # Three buffers hold a token: raw key, value, and the rotated copy of the key.
    return Footprint(
        weight_bytes=weight_bytes,
        bytes_per_token=3 * kv_values_per_token(config) * dtype.itemsize // 2,
        budget_tokens=read_budget_tokens(config),
    )


def kv_values_per_token(config: Any) -> int:
    """Return how many numbers the keys and values of one token are, over all layers."""
    return 2 * math.prod(kv_shape(config))


def check_fits(footprint: Footprint, free_bytes: int | None, *, name: str, device: str) -> None:
    """Refuse what cannot fit; warn of what fits barely.

    Args:
        footprint: what is needed.
        free_bytes: free on the device; None, if that is unknown, checks nothing.
        name: of the model, for the message.
        device: its name, for the message.

    Raises:
        DeviceError: weights and one stream need more than is free.
    """
    if free_bytes is None or footprint.total_bytes <= _TIGHT_SHARE * free_bytes:
        return
    needs = (
        f"{_gigabytes(footprint.weight_bytes)} of weights and {_gigabytes(footprint.cache_bytes)} for one "
        f"stream ({footprint.budget_tokens} tokens of {footprint.bytes_per_token:,} bytes)"
    )
    has = f"{device} has {_gigabytes(free_bytes)} free"
    advice = "choose a smaller dtype or a quantised checkpoint, or spread it over GPUs with device_map"
    if footprint.total_bytes > free_bytes:
        raise DeviceError(f"model {name!r} does not fit: it needs {needs}, and {has}; {advice}")
    logger.warning("model %r fits barely: it needs %s, and %s; %s", name, needs, has, advice)


def free_bytes(device: torch.device | str) -> int | None:
    """Return the memory that is free on a device now; None if it is unknown."""
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return host_free_bytes()


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.3g} GB"
