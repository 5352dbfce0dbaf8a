"""What one stream takes of a model and a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hermes_stream.cli.output import clock, size

if TYPE_CHECKING:
    from hermes_stream.stream import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNeeds:
    """Numbers of one stream, measured on a real one.

    Attributes:
        model: what it was loaded by.
        family: transformers' ``model_type``.
        device: where model and stream are.
        dtype: of keys and values.
        num_layers_by_tier: decoder layers of each tier; an empty tier has 0.
        budget_tokens: visual tokens that each layer keeps; None is no bound.
        tokens_per_temporal_patch: visual tokens of one temporal patch, at most.
        frames_per_temporal_patch: frames that the model encodes as one.
        fps: frames a second that the model is used with.
        chunk_frames: frames that enter the memory together, as far as positions allow.
        max_positions: positions that the model was made for.
        bytes_per_visual_token: over all layers.
        stream_bytes: buffers of the stream; where there is no bound, of its beginning.
        waiting_bytes: of frames that wait in an engine, at most, in host memory.
        model_knows: the only thing that the model understands; None for general models.
        device_free_bytes: free on the device with the model loaded; None is unknown.
        fits: whether the device has room for the stream; None is unknown.
    """

    model: str
    family: str
    device: str
    dtype: str
    num_layers_by_tier: dict[str, int]
    budget_tokens: int | None
    tokens_per_temporal_patch: int
    frames_per_temporal_patch: int
    fps: float
    chunk_frames: int
    max_positions: int
    bytes_per_visual_token: int
    stream_bytes: int
    waiting_bytes: int
    model_knows: str | None
    device_free_bytes: int | None = None
    fits: bool | None = None

    def with_free(self, num_bytes: int | None) -> StreamNeeds:
        """Return these needs beside what was free on the device before the stream; None is unknown."""
        fits = None if num_bytes is None else self.stream_bytes <= num_bytes
        return replace(self, device_free_bytes=num_bytes, fits=fits)

    def lines(self, policy: str, *, chunk_frames: int) -> dict[str, str]:
        """Return a line about each topic.

        Args:
            policy: the policy's name.
            chunk_frames: frames that were asked for.
        """
        growing = " at first, growing with the stream" if self.budget_tokens is None else ""
        return {
            "model": f"{self.model} ({self.family}), {self.dtype} on {self.device}",
            **({} if self.model_knows is None else {"knows": f"{self.model_knows}, and nothing else"}),
            "layers": self._layers(),
            "policy": f"{policy}: {self._budget()}",
            "frames": self._frames(),
            "chunks": self._chunks(chunk_frames),
            "positions": f"{self.max_positions} at most",
            "buffers": f"{size(self.stream_bytes)}{growing}",
            "waiting": f"up to {size(self.waiting_bytes)} of frames in host memory, in an engine",
            "fits": self._fits(),
        }

    def _layers(self) -> str:
        counts = self.num_layers_by_tier
        named = ", ".join(f"{count} {tier.replace('_', '-')}" for tier, count in counts.items())
        empty = "" if counts["sensory"] else " (no sensory memory: that takes ten layers or more)"
        return f"{sum(counts.values())}: {named}{empty}"

    def _budget(self) -> str:
        if self.budget_tokens is None:
            return "no budget, everything is kept while positions last"
        num_patches = self.budget_tokens / self.tokens_per_temporal_patch
        seconds = num_patches * self.frames_per_temporal_patch / self.fps
        return (
            f"{self.budget_tokens} visual tokens per layer, as much as {num_patches:.4g} frames or "
            f"{clock(round(seconds))} of video at {self.fps:g} fps"
        )

    def _frames(self) -> str:
        several = f"{self.frames_per_temporal_patch} pictures each, " * (self.frames_per_temporal_patch > 1)
        each = size(self.bytes_per_visual_token)
        return f"{several}{self.tokens_per_temporal_patch} visual tokens each; a token takes {each}"

    def _chunks(self, asked: int) -> str:
        lowered = f" (not {asked}: budget, chunk and text share the positions)" * (self.chunk_frames < asked)
        return f"{self.chunk_frames} frame{'s' * (self.chunk_frames > 1)}{lowered}"

    def _fits(self) -> str:
        if self.device_free_bytes is None:
            return f"unknown: {self.device} does not tell its free memory"
        free = f"{'yes' if self.fits else 'NO'}: {size(self.device_free_bytes)} free on {self.device}"
        if self.budget_tokens is None:
            return free
        waiting = self.waiting_bytes if self.device == "cpu" else 0
        room = self.device_free_bytes // (self.stream_bytes + waiting)
        return f"{free}, room for {room} such stream{'s' * (room != 1)}"


def measure(session: Session) -> StreamNeeds:
    """Measure a stream that has just begun.

    Args:
        session: has seen nothing yet.
    """
    from hermes_stream.memory.tiers import Tier, Tiers
    from hermes_stream.stream.queue_limits import QueueLimits

    model = session.model
    tiers = Tiers(num_layers=model.layout.num_layers).tier_of_layer
    return StreamNeeds(
        model=model.card.name,
        family=model.card.family,
        device=str(model.layout.device),
        dtype=str(model.layout.dtype).removeprefix("torch."),
        num_layers_by_tier={tier.name.lower(): tiers.count(tier) for tier in Tier},
        budget_tokens=session.policy.budget_tokens,
        tokens_per_temporal_patch=model.card.tokens_per_temporal_patch,
        frames_per_temporal_patch=model.card.frames_per_temporal_patch,
        fps=model.card.default_fps,
        chunk_frames=session.chunk_frames,
        max_positions=model.layout.max_positions,
        bytes_per_visual_token=model.layout.bytes_per_token,
        stream_bytes=session.stats.cache_bytes,
        waiting_bytes=QueueLimits.of(model, session.chunk_frames).num_bytes,
        model_knows=model.card.knows,
    )
