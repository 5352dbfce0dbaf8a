"""Pictures to flat patches, as the Qwen-VL families read them: any aspect ratio, tokens as it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hermes_stream.models.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    HALF,
    Channels,
    normalise,
    read_mode,
    read_scaling,
    resize,
    to_pixels,
)

_LARGEST_ASPECT_RATIO = 200

Bounds = Literal["frame", "temporal_patch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPreprocessing:
    """Resize to whole merged patches within bounds, scale, normalise, cut into patches.

    Attributes:
        patch_size: pixels of a patch's side.
        temporal_patch_size: frames of a patch.
        merge_size: patches along a side that the model merges into one visual token.
        min_pixels: fewest pixels of what ``bounds`` names.
        max_pixels: most pixels of what ``bounds`` names.
        bounds: "frame" bounds the pixels of one frame, as Qwen2-VL and Qwen2.5-VL do. "temporal_patch"
            bounds the pixels of one temporal patch's frames together, as Qwen3-VL bounds those of a whole
            clip: a stream has no length, so each patch is treated as a clip of its own. Qwen3-VL also first
            enlarges what is smaller than one merged patch.
        mode: interpolation, with antialiasing.
        rescale_factor: what pixel values 0-255 are multiplied by.
        mean: of each colour channel, after scaling.
        std: of each colour channel, after scaling.
    """

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int
    bounds: Bounds = "frame"
    mode: str = "bicubic"
    rescale_factor: float = 1 / 255
    mean: Channels = HALF
    std: Channels = HALF

    def __post_init__(self) -> None:
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ValueError(
                f"min_pixels must be positive and at most max_pixels, "
                f"got {self.min_pixels} and {self.max_pixels}"
            )

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any],
        *,
        patch_size: int,
        temporal_patch_size: int,
        merge_size: int,
        default_min_pixels: int,
        default_max_pixels: int,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        bounds: Bounds = "frame",
    ) -> PatchPreprocessing:
        """Read a preprocessor file's settings.

        Args:
            settings: contents of ``video_preprocessor_config.json``, whose bounds are ``size.shortest_edge``
                and ``size.longest_edge``, or of ``preprocessor_config.json``, whose bounds are ``min_pixels``
                and ``max_pixels``; where both are given the latter count, as in transformers.
            patch_size: of the model's vision tower.
            temporal_patch_size: of the model's vision tower.
            merge_size: of the model's vision tower.
            default_min_pixels: taken where the settings name none.
            default_max_pixels: taken where the settings name none.
            min_pixels: overrides the settings.
            max_pixels: overrides the settings.
            bounds: what the pixel bounds count; also decides mean and deviation where the settings name none.

        Raises:
            ValueError: the settings contradict the vision tower or themselves, or are not supported.
        """
        _check(
            settings, patch_size=patch_size, temporal_patch_size=temporal_patch_size, merge_size=merge_size
        )
        default_mean, default_std = (CLIP_MEAN, CLIP_STD) if bounds == "frame" else (HALF, HALF)
        rescale_factor, mean, std = read_scaling(settings, mean=default_mean, std=default_std)
        return cls(
            patch_size=patch_size,
            temporal_patch_size=temporal_patch_size,
            merge_size=merge_size,
            min_pixels=_first(
                min_pixels, *_named(settings, "min_pixels", "shortest_edge"), default_min_pixels
            ),
            max_pixels=_first(
                max_pixels, *_named(settings, "max_pixels", "longest_edge"), default_max_pixels
            ),
            bounds=bounds,
            mode=read_mode(settings),
            rescale_factor=rescale_factor,
            mean=mean,
            std=std,
        )

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture is resized to: whole merged patches, within the bounds.

        Args:
            height: pixels of the picture.
            width: pixels of the picture.

        Raises:
            ValueError: one side is more than 200 times the other.
        """
        side = self.patch_size * self.merge_size
        frames = 1 if self.bounds == "frame" else self.temporal_patch_size
        if self.bounds == "temporal_patch" and min(height, width) < side:
            scale = max(side / height, side / width)
            height, width = int(height * scale), int(width * scale)
        if max(height, width) > _LARGEST_ASPECT_RATIO * min(height, width):
            raise ValueError(
                f"one side of a frame must be at most {_LARGEST_ASPECT_RATIO} times the other, "
                f"got {height} x {width} pixels"
            )
        rounded = (round(height / side) * side, round(width / side) * side)
        pixels = frames * rounded[0] * rounded[1]
        if pixels > self.max_pixels:
            shrink = math.sqrt(frames * height * width / self.max_pixels)
            rows, columns = math.floor(height / shrink / side), math.floor(width / shrink / side)
            return max(rows, 1) * side, max(columns, 1) * side
        if pixels < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (frames * height * width))
            return math.ceil(height * grow / side) * side, math.ceil(width * grow / side) * side
        return rounded

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the patches along height and width of a picture.

        Args:
            height: pixels of the picture.
            width: pixels of the picture.

        Raises:
            ValueError: one side is more than 200 times the other.
        """
        resized = self.resized(height, width)
        return resized[0] // self.patch_size, resized[1] // self.patch_size

    def tokens(self, height: int, width: int) -> int:
        """Return the visual tokens of one temporal patch of pictures of a size, after merging.

        Args:
            height: pixels of the picture.
            width: pixels of the picture.

        Raises:
            ValueError: one side is more than 200 times the other.
        """
        rows, columns = self.grid(height, width)
        return rows * columns // self.merge_size**2

    def patches(
        self, images: Sequence[NDArray[np.uint8]], *, device: torch.device, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "patches width"], tuple[int, int, int]]:
        """Turn frames into what the vision tower reads.

        Patches that merge into one visual token stand together, tokens in order of time, row and column; a
        patch holds its channels, of each its frames, of each its rows.

        Args:
            images: uint8 ``[height, width, 3]`` of one size; the last is repeated to fill a temporal patch.
            device: where the work is done.
            dtype: of the result; all arithmetic is in float32.

        Returns:
            The patches, and how many there are along time, height and width.

        Raises:
            ValueError: there is no frame, the sizes differ, or one side is more than 200 times the other.
        """
        sizes = {image.shape[:2] for image in images}
        if len(sizes) != 1:
            raise ValueError(f"frames must be one or more of one size, got sizes {sorted(sizes)}")
        size = self.resized(*sizes.pop())
        frames = torch.cat([resize(to_pixels(image, device), size, self.mode) for image in images])
        frames = normalise(frames, self.rescale_factor, self.mean, self.std)
        if missing := -len(frames) % self.temporal_patch_size:
            frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
        return self._cut(frames).to(dtype), (
            len(frames) // self.temporal_patch_size,
            size[0] // self.patch_size,
            size[1] // self.patch_size,
        )

    def _cut(self, frames: Float[Tensor, "frames 3 height width"]) -> Float[Tensor, "patches pixels"]:
        time, patch, merge = self.temporal_patch_size, self.patch_size, self.merge_size
        _, channels, height, width = frames.shape
        merged = patch * merge
        blocks = frames.reshape(
            -1, time, channels, height // merged, merge, patch, width // merged, merge, patch
        )
        # from: t, frame, channel, row, merged row, y, column, merged column, x
        return blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * time * patch * patch)


def _check(settings: Mapping[str, Any], **sides: int) -> None:
    for name, side in sides.items():
        if settings.get(name) not in (None, side):
            raise ValueError(
                f"{name} is {settings[name]} in the preprocessor file and {side} in the vision tower; "
                f"they must be equal"
            )


def _named(settings: Mapping[str, Any], old: str, new: str) -> tuple[int | None, ...]:
    size = settings.get("size") or {}
    return settings.get(old), size.get(new), size.get(old)


def _first(*values: int | None) -> int:
    return next(int(value) for value in values if value is not None)
