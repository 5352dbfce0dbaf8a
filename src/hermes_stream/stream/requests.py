"""What work asks for: a look at pictures, or a forward of the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from hermes_stream.attention import Segment
from hermes_stream.models.visual import Pixels
from hermes_stream.stream.stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeRequest:
    """The vision tower shall look at pictures; the result is ``Features``."""

    pixels: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRequest:
    """The decoder shall read segments of one stream, in one forward.

    Attributes:
        segments: at least one.
        stage: what it is part of.
        speaks: the result is the logits of the token that follows the last segment, in float32; else None.
        advances: False lets every layer read what the first one reads.
    """

    segments: tuple[Segment, ...]
    stage: Stage
    speaks: bool = False
    advances: bool = True

    @property
    def num_tokens(self) -> int:
        """Tokens that enter the forward."""
        return sum(len(segment.embeddings) for segment in self.segments)


Request = EncodeRequest | ForwardRequest
