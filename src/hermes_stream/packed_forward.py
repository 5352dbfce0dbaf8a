"""What the attention needs of a packed forward, layer by layer.

A prompt that guides a memory is read in some layers only. Behind the last of them nobody reads what becomes
of it, so that its tokens leave the forward there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hermes_stream.attention_batch import SegmentBatch
from hermes_stream.masks import Masks
from hermes_stream.segments import Place, Segment, places_of

_ALL = slice(None)


class Enough(Exception):  # noqa: N818 - nothing is wrong
    """All that a forward is for is done: what is left of it would be read by nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What the attention needs of a packed forward, from one of its layers on.

    Attributes:
        kept: tokens that go on, of those before that layer.
        ends_in: the layer that ends the forward; None where its last hidden states are wanted.
    """

    kept: slice | Tensor
    segments: Sequence[Segment]
    places: Sequence[Place]
    cos: Float[Tensor, "tokens head_dim"]
    signed_sin: Float[Tensor, "tokens head_dim"]
    masks: Masks
    ends_in: int | None
    batch: SegmentBatch | None

    @classmethod
    def of(
        cls,
        segments: Sequence[Segment],
        rotation: tuple[Float[Tensor, "tokens head_dim"], Float[Tensor, "tokens head_dim"]],
        *,
        ends_in: int | None,
        kept: slice | Tensor = _ALL,
        masks: Masks | None = None,
    ) -> Packed:
        """Find out what segments need; ``rotation`` is of their tokens, cosine and signed sine."""
        places = places_of(segments)
        alone = [
            one.cache if one.is_plain and place.stored == place.tokens else None
            for one, place in zip(segments, places, strict=True)
        ]
        return cls(
            kept=kept,
            segments=segments,
            places=places,
            cos=rotation[0],
            signed_sin=rotation[1],
            masks=masks or Masks(),
            ends_in=ends_in,
            batch=SegmentBatch.of(alone, [len(segment.embeddings) for segment in segments]),
        )

    def behind(self, layer_idx: int) -> Packed:
        """Return what is left behind a layer: not the probes that are read in no later one."""
        stays = [one.probe is None or one.probe.last_layer > layer_idx for one in self.segments]
        own = [place.tokens for place, goes_on in zip(self.places, stays, strict=True) if goes_on]
        end = own[-1].stop if own else 0
        kept: slice | Tensor = slice(0, end)
        if sum(one.stop - one.start for one in own) < end:
            kept = torch.cat([torch.arange(one.start, one.stop) for one in own]).to(self.cos.device)
        left = [one for one, goes_on in zip(self.segments, stays, strict=True) if goes_on]
        rotation = self.cos[kept], self.signed_sin[kept]
        return Packed.of(left, rotation, ends_in=self.ends_in, kept=kept, masks=self.masks)

    def only_reads(self, index: int, layer_idx: int) -> slice | None:
        """Return the tokens of a probe that is stored right behind the segment before it, and only reads."""
        if index >= len(self.segments) or (place := self.places[index]).hidden != 0 or place.stored:
            return None
        probe = self.segments[index].probe
        only_reads = probe and layer_idx <= probe.last_layer and layer_idx not in probe.layers
        return place.tokens if only_reads else None


Stages = Mapping[int, Packed]
"""What is left of a forward, by the layer from which on; the first is 0."""


def stages_of(packed: Packed) -> Stages:
    """Return what is left of a forward from its first layer on, and behind the last of each probe."""
    stages = {0: packed}
    if packed.ends_in is None:
        return stages
    ends = {max(one.probe.last_layer, 0) for one in packed.segments if one.probe is not None}
    for layer_idx in sorted(ends - {packed.ends_in}):
        packed = stages[layer_idx + 1] = packed.behind(layer_idx)
    return stages


def stage_of(stages: Stages, layer_idx: int) -> Packed:
    """Return what is left of a forward in a layer."""
    return stages[max(first for first in stages if first <= layer_idx)]


@contextmanager
def letting_go(decoder: nn.Module, stages: Stages) -> Iterator[None]:
    """Take tokens out of a forward before the layers from which on nobody reads them.

    Args:
        decoder: transformers' text model, called with ``stages`` as the keyword ``packed``.
        stages: of the forward.
    """
    layers: Any = decoder.layers

    def let_go(
        layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any] | None = None
    ) -> tuple[tuple[Tensor, ...], dict[str, Any]] | None:
        # Another session may run the same model meanwhile: it is left alone. While hooks come and go torch
        # may call this one there without keywords.
        if kwargs is None or kwargs["packed"] is not stages:
            return None
        here, (hidden, *others) = stage_of(stages, index_of[layer]), args
        if not here.segments:
            raise Enough
        # Positions are all 0, and rotations all the same.
        count, shorter = len(here.cos), dict[str, Any]()
        if (positions := kwargs.get("position_ids")) is not None:
            shorter["position_ids"] = positions[..., :count]
        if (rotations := kwargs.get("position_embeddings")) is not None:
            shorter["position_embeddings"] = tuple(one[..., :count, :] for one in rotations)
        return (hidden[:, here.kept] if index_of[layer] in stages else hidden, *others), kwargs | shorter

    first = min(stages.keys() - {0}, default=len(layers))
    index_of = {layer: layer_idx for layer_idx, layer in enumerate(layers) if layer_idx >= first}
    hooks = [layer.register_forward_pre_hook(let_go, with_kwargs=True) for layer in index_of]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
