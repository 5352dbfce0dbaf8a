"""Where one stream's keys and values lie: in the model's dtype, or in 8 bits.

Slots are written, read and moved here; the cache knows what they mean. Everything is allocated once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.layout import KEY_GROUP, CacheLayout
from hermes_stream.memory.rope import rotate
from hermes_stream.memory.selection import select_tokens


def make_buffers(layout: CacheLayout, capacities: Sequence[int]) -> Buffers:
    """Allocate the slots of every layer.

    Args:
        layout: the model's shape, and how many bits a number takes.
        capacities: slots of each layer.
    """
    return WholeBuffers(layout, capacities) if layout.kv_bits is None else EightBitBuffers(layout, capacities)


class Buffers(ABC):
    """Slots for the raw keys and the values of every layer.

    Attributes:
        capacities: slots of each layer.
    """

    def __init__(self, layout: CacheLayout, capacities: Sequence[int]) -> None:
        self.layout = layout
        self.capacities = tuple(capacities)

    @property
    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """All tensors, slots along axis 1."""

    @abstractmethod
    def write(
        self,
        layer: int,
        start: int,
        *,
        raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
        rotated_keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
    ) -> None:
        """Fill slots of a layer from ``start`` on."""

    @abstractmethod
    def keys(self, layer: int, slots: slice) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return raw keys of a layer."""

    @abstractmethod
    def values(self, layer: int, slots: slice) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return values of a layer."""

    @abstractmethod
    def rotated_keys(
        self, layer: int, slots: slice, positions: Int[Tensor, "axes tokens"]
    ) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return keys of a layer, rotated to the positions of these slots."""

    @abstractmethod
    def rotate(self, layer: int, positions: Int[Tensor, "axes tokens"]) -> None:
        """Rotate what is stored rotated to new positions of a layer's first slots."""

    @abstractmethod
    def select(self, layer: int, first: int, keep: Int[Tensor, " kept"]) -> None:
        """Move tokens of a layer to the front of the slots from ``first`` on, which ``keep`` counts from."""

    def copy_from(self, other: Buffers) -> None:
        """Copy what smaller buffers hold."""
        for tensor, smaller in zip(self.tensors, other.tensors, strict=True):
            tensor[:, : smaller.shape[1]] = smaller

    def _zeros(self, layer: int, width: int, dtype: torch.dtype) -> Tensor:
        shape = (self.layout.num_kv_heads, self.capacities[layer], width)
        return torch.zeros(shape, dtype=dtype, device=self.layout.device_of(layer))

    def _per_layer(self, width: int, dtype: torch.dtype) -> list[Tensor]:
        # A list, not one tensor: layers may have different capacities and devices.
        return [self._zeros(layer, width, dtype) for layer in range(self.layout.num_layers)]


@final
class WholeBuffers(Buffers):
    """Keys and values in the model's dtype, and a copy of the keys that is rotated already.

    Attention reads the copy, so that a question rotates nothing.
    """

    def __init__(self, layout: CacheLayout, capacities: Sequence[int]) -> None:
        super().__init__(layout, capacities)
        self._raw, self._rotated, self._values = (
            self._per_layer(layout.head_dim, layout.dtype) for _ in ("raw keys", "rotated keys", "values")
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, slots along axis 1."""
        return [*self._raw, *self._rotated, *self._values]

    def write(
        self, layer: int, start: int, *, raw_keys: Tensor, rotated_keys: Tensor, values: Tensor
    ) -> None:
        """Fill slots of a layer from ``start`` on."""
        slots = slice(start, start + raw_keys.shape[1])
        self._raw[layer][:, slots] = raw_keys
        self._rotated[layer][:, slots] = rotated_keys
        self._values[layer][:, slots] = values

    def keys(self, layer: int, slots: slice) -> Tensor:
        """Return raw keys of a layer (a view)."""
        return self._raw[layer][:, slots]

    def values(self, layer: int, slots: slice) -> Tensor:
        """Return values of a layer (a view)."""
        return self._values[layer][:, slots]

    def rotated_keys(self, layer: int, slots: slice, positions: Tensor) -> Tensor:  # noqa: ARG002
        """Return rotated keys of a layer (a view)."""
        return self._rotated[layer][:, slots]

    def whole(self, layer: int) -> tuple[Tensor, Tensor]:
        """Return all slots of a layer: rotated keys, and values."""
        return self._rotated[layer], self._values[layer]

    def rotate(self, layer: int, positions: Tensor) -> None:
        """Rotate the copy of a layer's first keys to new positions."""
        raw = self._raw[layer][:, : positions.shape[1]]
        self._rotated[layer][:, : positions.shape[1]] = _rotated(self.layout, raw, positions)

    def select(self, layer: int, first: int, keep: Tensor) -> None:
        """Move tokens to the front of a layer's slots from ``first`` on; ``rotate`` must follow."""
        for buffers in (self._raw, self._values):
            _select(buffers[layer], first, keep)


@final
class EightBitBuffers(Buffers):
    """Keys and values as whole numbers from -127 to 127 with scales of 16 bits.

    A value has one scale for each token and head; a raw key one for each group of channels as well, since
    some channels of keys are many times larger than others. Keys are rotated when they are read: a rotated
    copy would take half as much again. Moving a token moves its numbers, so that it is rounded only once.
    """

    def __init__(self, layout: CacheLayout, capacities: Sequence[int]) -> None:
        super().__init__(layout, capacities)
        self._raw, self._values = (self._per_layer(layout.head_dim, torch.int8) for _ in ("keys", "values"))
        self._key_scales = self._per_layer(layout.num_key_groups, torch.float16)
        self._value_scales = self._per_layer(1, torch.float16)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, slots along axis 1."""
        return [*self._raw, *self._values, *self._key_scales, *self._value_scales]

    def write(
        self,
        layer: int,
        start: int,
        *,
        raw_keys: Tensor,
        rotated_keys: Tensor,  # noqa: ARG002
        values: Tensor,
    ) -> None:
        """Fill slots of a layer from ``start`` on; keys are rotated when they are read."""
        slots = slice(start, start + raw_keys.shape[1])
        self._raw[layer][:, slots], self._key_scales[layer][:, slots] = in_8_bits(raw_keys, KEY_GROUP)
        self._values[layer][:, slots], self._value_scales[layer][:, slots] = in_8_bits(values)

    def keys(self, layer: int, slots: slice) -> Tensor:
        """Return raw keys of a layer."""
        return from_8_bits(self._raw[layer][:, slots], self._key_scales[layer][:, slots], self.layout.dtype)

    def values(self, layer: int, slots: slice) -> Tensor:
        """Return values of a layer."""
        return from_8_bits(
            self._values[layer][:, slots], self._value_scales[layer][:, slots], self.layout.dtype
        )

    def rotated_keys(self, layer: int, slots: slice, positions: Tensor) -> Tensor:
        """Return keys of a layer, rotated to the positions of these slots."""
        return _rotated(self.layout, self.keys(layer, slots), positions)

    def rotate(self, layer: int, positions: Tensor) -> None:
        """Do nothing: keys are rotated when they are read."""

    def select(self, layer: int, first: int, keep: Tensor) -> None:
        """Move tokens to the front of a layer's slots from ``first`` on."""
        for buffers in (self._raw, self._values, self._key_scales, self._value_scales):
            _select(buffers[layer], first, keep)


def _select(buffer: Tensor, first: int, keep: Int[Tensor, " kept"]) -> None:
    # Gathered into a tensor of its own first: source and target overlap.
    buffer[:, first : first + len(keep)] = select_tokens(buffer[:, first:], keep)


def _rotated(
    layout: CacheLayout,
    raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
    positions: Int[Tensor, "axes tokens"],
) -> Float[Tensor, "kv_heads tokens head_dim"]:
    cos, sin = layout.rotary.cos_sin(positions)
    return rotate(raw_keys, cos.to(raw_keys.device), sin.to(raw_keys.device))


def in_8_bits(
    numbers: Float[Tensor, "kv_heads tokens head_dim"], group: int | None = None
) -> tuple[Int[Tensor, "kv_heads tokens head_dim"], Float[Tensor, "kv_heads tokens groups"]]:
    """Round numbers to 8 bits, the largest of each group to 127.

    Args:
        numbers: of any float dtype.
        group: channels that share a scale; None gives all of a head one. The last may be shorter.
    """
    width = numbers.shape[-1]
    groups = numbers.float().split(group or width, dim=-1)
    largest = torch.stack([part.abs().amax(dim=-1) for part in groups], dim=-1)
    scales = (
        (largest / 127).clamp(min=torch.finfo(torch.float16).tiny, max=torch.finfo(torch.float16).max).half()
    )
    # The smallest scale is above 0, so that a group of zeros divides to zeros.
    codes = (numbers.float() / _spread(scales, width)).round().clamp(-127, 127)
    return codes.to(torch.int8), scales


def from_8_bits(
    codes: Int[Tensor, "kv_heads tokens head_dim"],
    scales: Float[Tensor, "kv_heads tokens groups"],
    dtype: torch.dtype,
) -> Float[Tensor, "kv_heads tokens head_dim"]:
    """Return the numbers that codes stand for."""
    return (codes * _spread(scales, codes.shape[-1])).to(dtype)


def _spread(scales: Float[Tensor, "*shape groups"], width: int) -> Float[Tensor, "*shape width"]:
    """Repeat the scale of each group for its channels, in float32."""
    if scales.shape[-1] == 1:
        return scales.float()
    return scales.float().repeat_interleave(KEY_GROUP, dim=-1)[..., :width]


class LayerViews:
    """One tensor of each layer, fetched when a layer is asked for.

    Args:
        fetch: returns the tensor of a layer.
        num_layers: how many there are.
    """

    def __init__(self, fetch: Callable[[int], Tensor], num_layers: int) -> None:
        self._fetch, self._num_layers = fetch, num_layers

    def __getitem__(self, layer: int) -> Tensor:
        """Return that of one layer."""
        # An IndexError ends iteration over the layers.
        if not 0 <= layer < self._num_layers:
            raise IndexError(layer)
        return self._fetch(layer)
