"""The shape that a model gives to every stream's cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hermes_stream.memory.rope import RotaryLayout

KEY_GROUP = 32
"""Channels of a key that share a scale, where numbers take 8 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """The shape that a model gives to every stream's cache.

    Attributes:
        num_layers: decoder layers.
        num_kv_heads: key and value heads of a layer.
        head_dim: width of a head.
        dtype: of keys and values.
        device: where tokens enter and leave the decoder, and where records are kept.
        rotary: how positions rotate keys.
        max_positions: positions that the model was made for.
        grid_follows_time: with three axes, rows and columns count from the time of their own temporal patch;
            else from the beginning of the video.
        layer_devices: where each layer's keys and values live; empty where all are on ``device``.
        kv_bits: bits that a number of a key or value takes in memory; None keeps ``dtype``.
    """

    num_layers: int
    num_kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    rotary: RotaryLayout
    max_positions: int
    grid_follows_time: bool = False
    layer_devices: tuple[torch.device, ...] = ()
    kv_bits: Literal[8] | None = None

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token takes over all layers.

        Raw key, value, and the rotated copy of the key; in 8 bits raw key and value with their scales.
        """
        heads = self.num_layers * self.num_kv_heads
        if self.kv_bits is None:
            return 3 * heads * self.head_dim * self.dtype.itemsize
        return heads * (2 * self.head_dim + 2 * (self.num_key_groups + 1))

    @property
    def num_key_groups(self) -> int:
        """Scales of a head's key, where numbers take 8 bits."""
        return -(-self.head_dim // KEY_GROUP)

    def device_of(self, layer_idx: int) -> torch.device:
        """Return where a layer's keys and values live."""
        return self.layer_devices[layer_idx] if self.layer_devices else self.device
