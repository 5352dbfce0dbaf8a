"""The shape that a model gives to every stream's cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hermes_stream.memory.rope import RotaryLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """The shape that a model gives to every stream's cache.

    Attributes:
        num_layers: decoder layers.
        num_kv_heads: key and value heads of a layer.
        head_dim: width of a head.
        dtype: of keys and values.
        device: where tokens enter and leave the decoder, and where records are kept.
        rotary: how positions turn keys.
        max_positions: positions that the model was made for.
        layer_devices: where each layer's keys and values live; empty where all are on ``device``.
    """

    num_layers: int
    num_kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    rotary: RotaryLayout
    max_positions: int
    layer_devices: tuple[torch.device, ...] = ()

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one token takes over all layers: raw key, value, and the rotated copy of the key."""
        return 3 * self.num_layers * self.num_kv_heads * self.head_dim * self.dtype.itemsize

    def device_of(self, layer_idx: int) -> torch.device:
        """Return where a layer's keys and values live."""
        return self.layer_devices[layer_idx] if self.layer_devices else self.device
