"""A packed forward: its segments, what the attention needs of them, and who leaves it before its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hermes_stream.attention_batch import SegmentBatch
from hermes_stream.attention_weights import Probe, are_few
from hermes_stream.cache import StreamCache
from hermes_stream.masks import Masks
from hermes_stream.memory.constants import sent
from hermes_stream.memory.rope import signed
from hermes_stream.segments import Place, Segment, places_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """What the attention needs of a packed forward, from one of its layers on.

    Attributes:
        segments: those that are still in it.
        places: of their tokens.
        cos: of the tokens' positions.
        signed_sin: likewise, see ``rope.signed``.
        masks: of the forward.
        ends_in: the layer that ends it, if one does before the last is done.
        batch: the segments whose streams lie in one block.
        probes: of each segment those stored right behind it that one product can read with it; their tokens.
        first_layer: of which this is true.
        behind: what is true from a deeper layer on, where prompts have left.
        stays: of the tokens that come to the first layer, runs of those that stay.
    """

    segments: Sequence[Segment]
    places: Sequence[Place]
    cos: Float[Tensor, "tokens head_dim"]
    signed_sin: Float[Tensor, "tokens head_dim"]
    masks: Masks
    ends_in: int | None
    batch: SegmentBatch | None
    probes: Sequence[Sequence[tuple[Probe, slice]]]
    first_layer: int = 0
    behind: Packed | None = None
    stays: tuple[slice, ...] = (slice(None),)

    @classmethod
    def of(cls, segments: Sequence[Segment], *, wants_hidden: bool, all_stay: bool) -> Packed:
        """Return what is needed of a forward.

        Args:
            segments: at least one; probes may share a stream with each other.
            wants_hidden: whether the last hidden states are read; else it ends where the last layer has
                stored its keys and values, and a prompt leaves behind the last layer that listens to it.
            all_stay: no prompt leaves.
        """
        layout = segments[0].cache.layout
        positions = sent(torch.cat([segment.positions for segment in segments], dim=1), layout.device)
        cos, sin = layout.rotary.cos_sin(positions)
        lasts = [layout.num_layers - 1 if one.probe is None else one.probe.last_layer for one in segments]
        # What offloads a layer's weights wants to see every layer's end.
        ends_in = None if wants_hidden or layout.layer_devices else max(0, *lasts)
        whole = cls(
            segments=segments,
            cos=cos.to(layout.dtype),
            signed_sin=signed(sin.to(layout.dtype)),
            masks=Masks(),
            ends_in=ends_in,
            **_places_and_batch(segments),
        )
        return whole if ends_in is None or all_stay else whole._with_leaving(ends_in)

    def _with_leaving(self, ends_in: int) -> Packed:
        """Say from where on those prompts are gone that the next layers do not listen to."""
        num_stacks = max(
            (len(one.deepstack) for one in self.segments if one.deepstack is not None), default=0
        )
        lasts = [ends_in if one.probe is None else one.probe.last_layer for one in self.segments]
        # The decoder knows all tokens by their place where it adds features behind its first layers.
        first = max(min(lasts) + 1, num_stacks)
        stay = [last >= first for last in lasts]
        if first > ends_in:
            return self
        segments = [one for one, remains in zip(self.segments, stay, strict=True) if remains]
        stays = tuple(_runs([one.tokens for one, remains in zip(self.places, stay, strict=True) if remains]))
        behind = replace(
            self,
            segments=segments,
            cos=_taken(self.cos, stays, dim=0),
            signed_sin=_taken(self.signed_sin, stays, dim=0),
            first_layer=first,
            stays=stays,
            **_places_and_batch(segments),
        )
        return replace(self, behind=behind._with_leaving(ends_in))

    def in_layer(self, layer_idx: int) -> Packed:
        """Return what is true in a layer."""
        own = self
        while own.behind is not None and own.behind.first_layer <= layer_idx:
            own = own.behind
        return own

    @contextmanager
    def leaving(self, decoder: nn.Module) -> Iterator[None]:
        """Let tokens leave a decoder's forward inside where they are to leave."""
        handles, behind = [], self.behind
        try:
            while behind is not None:
                layer = decoder.get_submodule(f"layers.{behind.first_layer}")
                leave = partial(behind._leave, self)
                handles.append(layer.register_forward_pre_hook(leave, with_kwargs=True))
                behind = behind.behind
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(
        self,
        whole: Packed,
        _layer: nn.Module,
        args: tuple[Tensor, ...],
        options: dict[str, Any] | None = None,
    ) -> tuple[tuple[Tensor, ...], dict[str, Any]] | None:
        # Another forward may run through the same model meanwhile, or later, where Ctrl-C left this hook
        # behind: it is left alone. While hooks come and go torch may call this one there without keywords.
        if options is None or options.get("packed") is not whole:
            return None
        hidden, *others = args
        # Every token is at position 0 for the model, so that any of its rotations are those of the rest.
        turns = [one[..., : self.cos.shape[0], :] for one in options.get("position_embeddings") or ()]
        if turns:
            options = options | {"position_embeddings": tuple(turns)}
        return (_taken(hidden, self.stays, dim=1), *others), options

    def only_reads(self, index: int, layer_idx: int) -> slice | None:
        """Return the tokens of a probe that is stored right behind the segment before it, and only reads."""
        if index >= len(self.segments) or (place := self.places[index]).hidden != 0 or place.stored:
            return None
        probe = self.segments[index].probe
        only_reads = probe and layer_idx <= probe.last_layer and layer_idx not in probe.layers
        return place.tokens if only_reads else None

    def read_as_one(
        self, index: int, layer_idx: int, num_heads: int
    ) -> tuple[int, list[tuple[Probe, slice]]]:
        """Return the probes stored right behind a segment that one product reads, and its first token.

        It begins with the segment where all weights are few, else with the probes, as in the layer that ends
        the forward, where nobody reads what the segment sees.
        """
        own = self.places[index].tokens
        found = list(takewhile(lambda one: layer_idx <= one[0].last_layer, self.probes[index]))
        if found:
            cache = self.segments[index].cache
            assert isinstance(cache, StreamCache)
            end = found[-1][1].stop
            held = cache.num_tokens[layer_idx] + end - own.stop
            for start in (own.start, own.stop) if layer_idx != self.ends_in else (own.stop,):
                if are_few(num_heads * (end - start) * held):
                    return start, found
        return own.stop, []


def _places_and_batch(segments: Sequence[Segment]) -> dict[str, Any]:
    places = places_of(segments)
    alone = [
        one.cache if one.is_plain and place.stored == place.tokens else None
        for one, place in zip(segments, places, strict=True)
    ]
    return {
        "places": places,
        "batch": SegmentBatch.of(alone, [one.embeddings.shape[0] for one in segments]),
        "probes": [_probes_behind(segments, places, index) for index in range(len(segments))],
    }


def _probes_behind(
    segments: Sequence[Segment], places: Sequence[Place], index: int
) -> list[tuple[Probe, slice]]:
    """Return the probes stored right behind a segment, with their tokens, as far as one product reads them.

    In float32 alone: a fused kernel keeps scores in it, whatever it is given, and a product does not.
    """
    found = list[tuple[Probe, slice]]()
    if not segments[index].is_plain or segments[index].embeddings.dtype != torch.float32:
        return found
    for behind in range(index + 1, len(segments)):
        probe, place = segments[behind].probe, places[behind]
        if probe is None or place.hidden is None or place.stored is not None:
            break
        found.append((probe, place.tokens))
    return found


def _runs(tokens: Sequence[slice]) -> Iterator[slice]:
    """Join slices that follow each other."""
    start = stop = tokens[0].start
    for one in tokens:
        if one.start != stop:
            yield slice(start, stop)
            start = one.start
        stop = one.stop
    yield slice(start, stop)


def _taken(of: Tensor, runs: Sequence[slice], *, dim: int) -> Tensor:
    parts = [of.narrow(dim, run.start, run.stop - run.start) for run in runs]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
