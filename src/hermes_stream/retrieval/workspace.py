"""What a question reads where tokens are retrieved: a working copy, laid out anew for each question."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hermes_stream.errors import CapacityError
from hermes_stream.layout import CacheLayout
from hermes_stream.memory.rope import rotate


class Workspace:
    """Holds prefix, retrieved tokens, question and answer of every layer, in buffers allocated once.

    What lies before the question ends at the same slot in all layers, however much it is, and a token's
    position is its slot, on every axis. So the question has one position everywhere.

    Args:
        layout: the model's shape.
        num_context_tokens: slots before the question: prefix and what may be retrieved.
        text_tokens: slots of question and answer.

    Attributes:
        next_position: position and slot of the next token.
    """

    def __init__(self, layout: CacheLayout, *, num_context_tokens: int, text_tokens: int) -> None:
        self.layout = layout
        self.num_context_tokens = self.next_position = num_context_tokens
        shape = (layout.num_kv_heads, num_context_tokens + text_tokens, layout.head_dim)
        self._keys, self._values = (
            [torch.zeros(shape, dtype=layout.dtype, device=layout.device) for _ in range(layout.num_layers)]
            for _ in ("keys", "values")
        )
        self._starts = [num_context_tokens] * layout.num_layers

    @staticmethod
    def num_bytes_of(layout: CacheLayout, num_slots: int) -> int:
        """Return what the buffers of a workspace with so many slots take."""
        return (
            2 * num_slots * layout.num_layers * layout.num_kv_heads * layout.head_dim * layout.dtype.itemsize
        )

    @property
    def num_bytes(self) -> int:
        """Bytes of all buffers, used or not."""
        return sum(tensor.nbytes for tensor in (*self._keys, *self._values))

    @property
    def num_tokens(self) -> tuple[int, ...]:
        """Tokens that each layer holds."""
        return tuple(self.next_position - start for start in self._starts)

    def lay_out(
        self,
        layer_idx: int,
        raw_keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
    ) -> None:
        """Put tokens right before the question, at contiguous positions."""
        start = self.num_context_tokens - raw_keys.shape[1]
        positions = torch.arange(start, self.num_context_tokens, device=self.layout.device)
        cos, sin = self.layout.rotary.cos_sin(positions.expand(self.layout.rotary.num_axes, -1))
        self._keys[layer_idx][:, start : self.num_context_tokens] = rotate(raw_keys, cos, sin)
        self._values[layer_idx][:, start : self.num_context_tokens] = values
        self._starts[layer_idx] = start

    def append(self, positions: Int[Tensor, "axes tokens"]) -> None:
        """Reserve the next slots of every layer.

        Raises:
            CapacityError: the room for text is used up.
        """
        count, capacity = positions.shape[-1], self._keys[0].shape[1]
        if self.next_position + count > capacity:
            raise CapacityError(
                f"{count} more tokens do not fit: {self.next_position - self.num_context_tokens} of the "
                f"{capacity - self.num_context_tokens} for question and answer are used; ask a "
                "shorter question, or make the session with more text_tokens"
            )
        self.next_position += count

    def store(
        self,
        layer_idx: int,
        *,
        raw_keys: Float[Tensor, "kv_heads tokens head_dim"],  # noqa: ARG002
        rotated_keys: Float[Tensor, "kv_heads tokens head_dim"],
        values: Float[Tensor, "kv_heads tokens head_dim"],
    ) -> None:
        """Fill the slots that ``append`` reserved last, in one layer."""
        slots = slice(self.next_position - rotated_keys.shape[1], self.next_position)
        self._keys[layer_idx][:, slots] = rotated_keys
        self._values[layer_idx][:, slots] = values

    def rotated_keys(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return a layer's keys, turned to their positions (a view)."""
        return self._keys[layer_idx][:, self._starts[layer_idx] : self.next_position]

    def values(self, layer_idx: int) -> Float[Tensor, "kv_heads tokens head_dim"]:
        """Return a layer's values (a view)."""
        return self._values[layer_idx][:, self._starts[layer_idx] : self.next_position]

    @property
    def is_clear(self) -> bool:
        """Whether no text was read since ``clear``."""
        return self.next_position == self.num_context_tokens

    def clear(self) -> None:
        """Forget question and answer, and all that lies before them."""
        self.next_position = self.num_context_tokens
        self._starts = [self.num_context_tokens] * self.layout.num_layers
