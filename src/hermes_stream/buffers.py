"""Where one stream's keys and values lie: in the model's dtype, or in 8 bits.

Slots are written, read and moved here; the cache knows what they mean. Everything is allocated once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.eight_bits import from_8_bits, in_8_bits
from hermes_stream.layout import KEY_GROUP, CacheLayout
from hermes_stream.memory.rope import rotate
from hermes_stream.memory.selection import row_numbers
from hermes_stream.saved import Saved

_PART_BYTES = 64 * 2**20


def make_buffers(layout: CacheLayout, capacities: Sequence[int]) -> Buffers:
    """Allocate the slots of every layer.

    Args:
        layout: the model's shape, and how many bits a number takes.
        capacities: slots of each layer.
    """
    return WholeBuffers(layout, capacities) if layout.kv_bits is None else EightBitBuffers(layout, capacities)


class Buffers(ABC):
    """Slots for the raw keys and the values of every layer.

    Layers of one device and capacity lie in one tensor, one behind the other, so that they are moved and
    rotated together.

    Attributes:
        capacities: slots of each layer.
    """

    def __init__(self, layout: CacheLayout, capacities: Sequence[int]) -> None:
        self.layout = layout
        self.capacities = tuple(capacities)
        self._groups = list(runs_of([(layout.device_of(k), slots) for k, slots in enumerate(capacities)]))

    def parts(self, width: int) -> Iterator[slice]:
        """Yield runs of layers that lie together, each so few that a copy of its keys in float32 stays small.

        Args:
            width: tokens of a layer that are worked on.
        """
        token_bytes = 4 * self.layout.num_kv_heads * self.layout.head_dim
        for group in self._groups:
            yield from _split(group, token_bytes * width)

    def gaining(self, starts: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[slice, int, int]]:
        """Yield runs of layers that lie together and gain as many slots at the same place, if any.

        Args:
            starts: first new slot of each layer.
            counts: how many each gains.
        """
        for part in self.parts(max(starts)):
            wanted = list(zip(starts[part], counts[part], strict=True))
            for run in runs_of(wanted):
                start, count = wanted[run.start]
                if count:
                    yield slice(part.start + run.start, part.start + run.stop), start, count

    def joined(self, per_layer: Sequence[Tensor], layers: slice) -> Tensor:
        """Return the tensors of a part as one, ``[layers, kv_heads, slots, width]`` (a view)."""
        first = per_layer[layers.start]
        shape, stride = (layers.stop - layers.start, *first.shape), (first.numel(), *first.stride())
        return first.as_strided(shape, stride)

    @property
    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """All tensors, slots along axis 1."""

    @property
    @abstractmethod
    def lasting(self) -> dict[str, list[Tensor]]:
        """Tensors of every layer, by name, but those that are made again of the others."""

    def saved(self, lengths: Sequence[int]) -> Saved:
        """Return what the first slots of each layer hold.

        Args:
            lengths: of each layer, in slots.
        """
        return Saved(
            tensors={
                f"{name}.{layer}": tensor[:, : lengths[layer]]
                for name, tensors in self.lasting.items()
                for layer, tensor in enumerate(tensors)
            }
        )

    def restore(self, saved: Saved, lengths: Sequence[int]) -> None:
        """Fill the first slots of each layer; ``rotate`` must follow.

        Raises:
            SnapshotError: what was saved is not of this shape.
        """
        for name, tensors in self.lasting.items():
            for layer, tensor in enumerate(tensors):
                shape = (len(tensor), lengths[layer], tensor.shape[2])
                tensor[:, : lengths[layer]] = saved.tensor(f"{name}.{layer}", dtype=tensor.dtype, shape=shape)

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
    def keys_of(self, layers: slice, slots: slice) -> Float[Tensor, "layers kv_heads tokens head_dim"]:
        """Return raw keys of a part; slots that a layer does not use hold anything finite."""

    @abstractmethod
    def values_of(self, layers: slice, slots: slice) -> Float[Tensor, "layers kv_heads tokens head_dim"]:
        """Return values of a part, likewise."""

    @abstractmethod
    def write_part(
        self,
        layers: slice,
        start: int,
        *,
        raw_keys: Float[Tensor, "layers kv_heads tokens head_dim"],
        values: Float[Tensor, "layers kv_heads tokens head_dim"],
    ) -> None:
        """Fill slots of a part from ``start`` on; ``rotate`` must follow."""

    @abstractmethod
    def rotate(self, positions: Int[Tensor, "layers axes tokens"], first: int = 0) -> None:
        """Rotate what is stored rotated to new positions of all layers, from slot ``first`` on."""

    @abstractmethod
    def select(self, first: int, keep: Int[Tensor, "layers kept"], *, positions_stay: bool) -> None:
        """Move tokens of all layers to the front of the slots from ``first`` on, which ``keep`` counts from.

        Args:
            first: slot of the first token that may move.
            keep: padded with -1.
            positions_stay: what is stored rotated moves as it is; else ``rotate`` must follow.
        """

    def _select(
        self, kinds: Sequence[Sequence[Tensor]], first: int, keep: Int[Tensor, "layers kept"]
    ) -> None:
        for group in self._groups:
            like, slots = kinds[0][group.start], self.capacities[group.start]
            device, heads = like.device, len(like)
            kept = keep[group, : slots - first].clamp(min=0).to(device)
            # All kinds have a token's numbers in the same rows.
            rows = row_numbers(kept + first, len(kept), heads, slots).view(len(kept), heads, -1)
            for per_layer in kinds:
                everything = self.joined(per_layer, group).flatten(0, 2)
                num_bytes = everything[0].nbytes * heads * kept.shape[1]
                # Copied into tensors of their own first, of few layers at a time: source and target overlap.
                for layers in _split(group, num_bytes):
                    own = rows[layers.start - group.start : layers.stop - group.start]
                    held = self.joined(per_layer, layers)
                    chosen = everything.index_select(0, own.reshape(-1)).view(*own.shape, held.shape[-1])
                    held[:, :, first : first + kept.shape[1]] = chosen

    def copy_from(self, other: Buffers) -> None:
        """Copy what smaller buffers hold."""
        for tensor, smaller in zip(self.tensors, other.tensors, strict=True):
            tensor[:, : smaller.shape[1]] = smaller

    def _per_layer(self, width: int, dtype: torch.dtype) -> list[Tensor]:
        found: list[Tensor] = []
        for group in self._groups:
            shape = (group.stop - group.start, self.layout.num_kv_heads, self.capacities[group.start], width)
            joined = torch.zeros(shape, dtype=dtype, device=self.layout.device_of(group.start))
            found.extend(joined.unbind())
        return found


@final
class WholeBuffers(Buffers):
    """Keys and values in the model's dtype, and a copy of the keys that is rotated already.

    Attention reads the copy, so that a question rotates nothing.

    Args:
        layout: the model's shape.
        capacities: slots of each layer.
        joined: where they lie, ``[3, layers, kv_heads, slots, head_dim]``; None allocates them.

    Attributes:
        block: what they lie in beside those of other streams, if they do.
        row: which of its rows they are.
    """

    def __init__(
        self, layout: CacheLayout, capacities: Sequence[int], *, joined: Tensor | None = None
    ) -> None:
        super().__init__(layout, capacities)
        self.block: object | None = None
        self.row = 0
        self._raw, self._rotated, self._values = (
            self._per_layer(layout.head_dim, layout.dtype) if joined is None else list(joined[k].unbind())
            for k in range(3)
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, slots along axis 1."""
        return [*self._raw, *self._rotated, *self._values]

    @property
    def lasting(self) -> dict[str, list[Tensor]]:
        """Raw keys and values."""
        return {"raw_keys": self._raw, "values": self._values}

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

    def keys_of(self, layers: slice, slots: slice) -> Tensor:
        """Return raw keys of a part (a view)."""
        return self.joined(self._raw, layers)[:, :, slots]

    def values_of(self, layers: slice, slots: slice) -> Tensor:
        """Return values of a part (a view)."""
        return self.joined(self._values, layers)[:, :, slots]

    def write_part(self, layers: slice, start: int, *, raw_keys: Tensor, values: Tensor) -> None:
        """Fill slots of a part from ``start`` on; ``rotate`` must follow."""
        slots = slice(start, start + raw_keys.shape[2])
        self.keys_of(layers, slots).copy_(raw_keys)
        self.values_of(layers, slots).copy_(values)

    def rotate(self, positions: Tensor, first: int = 0) -> None:
        """Rotate the copy of all layers' keys to new positions."""
        slots = slice(first, first + positions.shape[2])
        for layers in self.parts(positions.shape[2]):
            keys = self.keys_of(layers, slots)  # fewer, or none, where layers have fewer slots
            own = positions[layers, :, : keys.shape[2]]
            self.joined(self._rotated, layers)[:, :, slots] = _rotated(self.layout, keys, own)

    def select(self, first: int, keep: Tensor, *, positions_stay: bool) -> None:
        """Move tokens of all layers to the front of the slots from ``first`` on."""
        kinds = (self._raw, self._values, self._rotated)
        self._select(kinds if positions_stay else kinds[:2], first, keep)


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
        return [tensor for tensors in self.lasting.values() for tensor in tensors]

    @property
    def lasting(self) -> dict[str, list[Tensor]]:
        """Raw keys and values in 8 bits, and their scales."""
        scales = {"key_scales": self._key_scales, "value_scales": self._value_scales}
        return {"raw_keys": self._raw, "values": self._values, **scales}

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

    def keys_of(self, layers: slice, slots: slice) -> Tensor:
        """Return raw keys of a part."""
        codes, scales = (self.joined(one, layers)[:, :, slots] for one in (self._raw, self._key_scales))
        return from_8_bits(codes, scales, self.layout.dtype)

    def values_of(self, layers: slice, slots: slice) -> Tensor:
        """Return values of a part."""
        codes, scales = (self.joined(one, layers)[:, :, slots] for one in (self._values, self._value_scales))
        return from_8_bits(codes, scales, self.layout.dtype)

    def write_part(self, layers: slice, start: int, *, raw_keys: Tensor, values: Tensor) -> None:
        """Fill slots of a part from ``start`` on."""
        for layer, own_keys, own_values in zip(
            range(layers.start, layers.stop), raw_keys, values, strict=True
        ):
            self.write(layer, start, raw_keys=own_keys, rotated_keys=own_keys, values=own_values)

    def rotate(self, positions: Tensor, first: int = 0) -> None:
        """Do nothing: keys are rotated when they are read."""

    def select(self, first: int, keep: Tensor, *, positions_stay: bool) -> None:  # noqa: ARG002
        """Move tokens of all layers to the front of the slots from ``first`` on."""
        self._select(tuple(self.lasting.values()), first, keep)


def _rotated(
    layout: CacheLayout,
    raw_keys: Float[Tensor, "*layers kv_heads tokens head_dim"],
    positions: Int[Tensor, "*layers axes tokens"],
) -> Float[Tensor, "*layers kv_heads tokens head_dim"]:
    cos, sin = (one.unsqueeze(-3).to(raw_keys.device) for one in layout.rotary.cos_sin(positions))
    return rotate(raw_keys, cos, sin)


def _split(layers: slice, layer_bytes: int) -> Iterator[slice]:
    """Divide layers into runs that take few bytes together."""
    size = max(1, _PART_BYTES // max(1, layer_bytes))
    for first in range(layers.start, layers.stop, size):
        yield slice(first, min(first + size, layers.stop))


def runs_of(keys: Sequence[object]) -> Iterator[slice]:
    """Yield the runs of equal keys."""
    for _, run in groupby(range(len(keys)), key=keys.__getitem__):
        indices = list(run)
        yield slice(indices[0], indices[-1] + 1)
