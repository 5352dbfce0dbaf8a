"""Pictures to pixel values, as a checkpoint's preprocessing file says, in torch alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_HALF = (0.5, 0.5, 0.5)
_RESAMPLE_MODES = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Resize to one size, scale, normalise.

    Attributes:
        height: pixels of the result.
        width: pixels of the result.
        mode: interpolation, with antialiasing.
        rescale_factor: what pixel values 0-255 are multiplied by.
        mean: of each colour channel, after scaling.
        std: of each colour channel, after scaling.
    """

    height: int
    width: int
    mode: str = "bicubic"
    rescale_factor: float = 1 / 255
    mean: tuple[float, float, float] = _HALF
    std: tuple[float, float, float] = _HALF

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], *, image_size: int) -> Preprocessing:
        """Read a preprocessor file's settings.

        Args:
            settings: contents of ``video_preprocessor_config.json`` or ``preprocessor_config.json``.
            image_size: side of the vision tower's input, taken where the settings name no size.

        Raises:
            ValueError: the settings ask for something that is not supported.
        """
        size = settings.get("size") or {"height": image_size, "width": image_size}
        side = size.get("shortest_edge", image_size)
        resample = settings.get("resample", 3)
        if resample not in _RESAMPLE_MODES:
            raise ValueError(
                f"resample must be one of {sorted(_RESAMPLE_MODES)} (bilinear, bicubic), got {resample}"
            )
        normalises = settings.get("do_normalize", True)
        return cls(
            height=size.get("height", side),
            width=size.get("width", side),
            mode=_RESAMPLE_MODES[resample],
            rescale_factor=settings.get("rescale_factor", 1 / 255)
            if settings.get("do_rescale", True)
            else 1.0,
            mean=tuple(settings.get("image_mean", _HALF)) if normalises else (0.0, 0.0, 0.0),
            std=tuple(settings.get("image_std", _HALF)) if normalises else (1.0, 1.0, 1.0),
        )

    def pixel_values(
        self, images: Sequence[NDArray[np.uint8]], *, device: torch.device, dtype: torch.dtype
    ) -> Float[Tensor, "frames 3 height width"]:
        """Turn pictures into what the vision tower reads.

        Args:
            images: uint8 ``[height, width, 3]``, of any sizes.
            device: where the work is done.
            dtype: of the result; all arithmetic is in float32.
        """
        resized = torch.cat([self._resize(image, device) for image in images])
        mean = torch.tensor(self.mean, device=device).view(3, 1, 1)
        std = torch.tensor(self.std, device=device).view(3, 1, 1)
        return ((resized * self.rescale_factor - mean) / std).to(dtype)

    def _resize(self, image: NDArray[np.uint8], device: torch.device) -> Float[Tensor, "1 3 height width"]:
        """Resize as image libraries do: first along rows, then along columns, to whole values each time."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float()
        for size in ((pixels.shape[2], self.width), (self.height, self.width)):
            if pixels.shape[2:] != size:
                pixels = F.interpolate(pixels, size=size, mode=self.mode, antialias=True, align_corners=False)
                pixels = pixels.round().clamp(0, 255)
        return pixels
