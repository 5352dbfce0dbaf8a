"""What layers hold, shown without a copy of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from jaxtyping import Float
from torch import Tensor


class LayerViews:
    """The visual tokens of each layer, fetched when they are asked for: layer by layer, or part by part.

    Args:
        fetch: returns the tensor of a layer.
        fetch_part: returns those of a part as one, padded.
        split: returns runs of layers that can be had as one, so few that copies of so many tokens stay small.
        num_layers: how many there are.
        width: tokens of the widest layer.
    """

    def __init__(
        self,
        fetch: Callable[[int], Tensor],
        fetch_part: Callable[[slice], Tensor],
        split: Callable[[int], Iterable[slice]],
        *,
        num_layers: int,
        width: int,
    ) -> None:
        self._fetch, self._fetch_part = fetch, fetch_part
        self._split, self._num_layers, self._width = split, num_layers, width

    def __getitem__(self, layer: int) -> Tensor:
        """Return that of one layer."""
        # An IndexError ends iteration over the layers.
        if not 0 <= layer < self._num_layers:
            raise IndexError(layer)
        return self._fetch(layer)

    def parts(
        self, width: int | None = None
    ) -> Iterator[tuple[slice, Float[Tensor, "layers kv_heads tokens head_dim"]]]:
        """Yield runs of layers with what they hold; what stands behind a layer's tokens means nothing.

        Args:
            width: tokens of a layer that will be copied; None for all.
        """
        for layers in self._split(self._width if width is None else width):
            yield layers, self._fetch_part(layers)
