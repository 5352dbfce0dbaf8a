"""One timed picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture and the moment it shows.

    Attributes:
        pts_seconds: presentation time on the source's own clock, in seconds.
        image: RGB pixels, uint8 ``[height, width, 3]``.
        duration_seconds: how long the picture stays on screen, 0 when the source does not say.
        source_size: height and width of the picture before a model shrank it; None if none did.
    """

    pts_seconds: float
    image: NDArray[np.uint8]
    duration_seconds: float = 0.0
    source_size: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture as it came; a model's view of it follows from these."""
        return self.source_size or (self.image.shape[0], self.image.shape[1])

    @classmethod
    def from_bgr(cls, image: NDArray[np.uint8], pts_seconds: float) -> Frame:
        """Return a frame of a picture with blue first, as OpenCV reads them.

        Args:
            image: BGR pixels, uint8 ``[height, width, 3]``.
            pts_seconds: presentation time in seconds.
        """
        return cls(pts_seconds=pts_seconds, image=np.ascontiguousarray(image[..., ::-1]))

    @classmethod
    def from_pil(cls, image: Any, pts_seconds: float) -> Frame:
        """Return a frame of a Pillow image, whatever its mode.

        Args:
            image: a ``PIL.Image.Image``.
            pts_seconds: presentation time in seconds.
        """
        return cls(pts_seconds=pts_seconds, image=np.array(image.convert("RGB")))
