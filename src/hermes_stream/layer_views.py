"""What layers hold, shown without a copy of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jaxtyping import Float
from torch import Tensor


class LayerViews:
    """The visual tokens of each layer, fetched when they are asked for: layer by layer, or part by part.

    Args:
        fetch: returns the tensor of a layer.
        fetch_part: returns those of a part as one, padded.
        parts: runs of layers that can be had as one.
        num_layers: how many there are.
    """

    def __init__(
        self,
        fetch: Callable[[int], Tensor],
        fetch_part: Callable[[slice], Tensor],
        parts: Sequence[slice],
        num_layers: int,
    ) -> None:
        self._fetch, self._fetch_part = fetch, fetch_part
        self._parts, self._num_layers = parts, num_layers

    def __getitem__(self, layer: int) -> Tensor:
        """Return that of one layer."""
        # An IndexError ends iteration over the layers.
        if not 0 <= layer < self._num_layers:
            raise IndexError(layer)
        return self._fetch(layer)

    def parts(self) -> Iterator[tuple[slice, Float[Tensor, "layers kv_heads tokens head_dim"]]]:
        """Yield runs of layers with what they hold; what stands behind a layer's tokens means nothing."""
        for layers in self._parts:
            yield layers, self._fetch_part(layers)
