"""Images to flat patches, as the Qwen-VL families read them: any aspect ratio, tokens as it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.models.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    DEFAULT_SCALING,
    HALF,
    Image,
    Scaling,
    alike,
    joined,
    made_in_parts,
    refuse_cropping,
    to_image,
    to_tensor,
)
from hermes_stream.models.resize import resize
from hermes_stream.models.settings import Settings
from hermes_stream.models.visual import Pixels

_MAX_ASPECT_RATIO = 200
_LONG_SIDE = 4  # of a frame 16 times as long as wide; a square of the same area has sides of 1

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
        scaling: interpolation and normalisation.
    """

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    min_pixels: int
    max_pixels: int
    bounds: Bounds = "frame"
    scaling: Scaling = DEFAULT_SCALING

    def __post_init__(self) -> None:
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ValueError(
                f"min_pixels must be positive and at most max_pixels, "
                f"got {self.min_pixels} and {self.max_pixels}"
            )

    @classmethod
    def from_settings(
        cls,
        settings: Mapping[str, Any] | Settings,
        vision: Any,
        *,
        default_min_pixels: int,
        default_max_pixels: int,
        bounds: Bounds = "frame",
    ) -> PatchPreprocessing:
        """Read a preprocessor file's settings.

        Args:
            settings: contents of ``video_preprocessor_config.json``, whose bounds are ``size.shortest_edge``
                and ``size.longest_edge``, or of ``preprocessor_config.json``, whose bounds are ``min_pixels``
                and ``max_pixels``; where both are given the latter count, as in transformers.
            vision: transformers' config of the vision tower.
            default_min_pixels: for settings that name none.
            default_max_pixels: for settings that name none.
            bounds: what the pixel bounds count; also decides mean and std for settings that name none.

        Raises:
            ModelError: the settings contradict the vision tower, or are not supported.
            ValueError: the bounds contradict each other.
        """
        sides = {
            "patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "merge_size": vision.spatial_merge_size,
        }
        file = Settings.of(settings, "the preprocessor file")
        refuse_cropping(file)
        for name, side in sides.items():
            if (own := file.integer(name, side)) != side:
                raise ModelError(
                    f"{name} is {own} in {file.source} and {side} in the vision tower; they must be equal"
                )
        mean, std = (CLIP_MEAN, CLIP_STD) if bounds == "frame" else (HALF, HALF)
        return cls(
            **sides,
            min_pixels=_read_bound(file, "min_pixels", "shortest_edge", default_min_pixels),
            max_pixels=_read_bound(file, "max_pixels", "longest_edge", default_max_pixels),
            bounds=bounds,
            scaling=Scaling.from_settings(file, mean=mean, std=std),
        )

    @property
    def num_bounded_frames(self) -> int:
        """Frames whose pixels ``min_pixels`` and ``max_pixels`` bound together."""
        return 1 if self.bounds == "frame" else self.temporal_patch_size

    @property
    def max_tokens(self) -> int:
        """Visual tokens of the largest temporal patch, of frames up to 16 times as long as wide."""
        area = self.num_bounded_frames * (self.patch_size * self.merge_size) ** 2
        most = self.max_pixels // area
        one_row = math.floor(_LONG_SIDE * math.sqrt(most))  # of a frame that shrinks to less than one row
        # A small frame is enlarged to the fewest tokens, and then to whole ones along both sides.
        fewest = self.min_pixels / area
        longest = _LONG_SIDE * math.sqrt(fewest)
        columns = (min(fewest / max(rows - 1, 1e-9), longest) for rows in range(1, math.ceil(longest) + 1))
        enlarged = max(rows * math.ceil(count) for rows, count in enumerate(columns, start=1))
        return max(most, one_row, enlarged)

    @property
    def max_image_bytes(self) -> int:
        """Bytes of the largest image that ``resized`` leads to."""
        return 3 * self.max_tokens * (self.patch_size * self.merge_size) ** 2

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that an image is resized to: whole merged patches, within the bounds.

        Args:
            height: pixels of the image.
            width: pixels of the image.

        Raises:
            ValueError: one side is more than 200 times the other, or a temporal patch of such images would
                take more tokens than ``max_tokens``.
        """
        side = self.patch_size * self.merge_size
        enlarged = (height, width)
        if self.bounds == "temporal_patch" and min(enlarged) < side:
            scale = max(side / height, side / width)
            enlarged = (int(height * scale), int(width * scale))
        if max(enlarged) > _MAX_ASPECT_RATIO * min(enlarged):
            raise ValueError(
                f"one side of a frame must be at most {_MAX_ASPECT_RATIO} times the other, "
                f"got {height} x {width} pixels"
            )
        resized = self._within_bounds(*enlarged)
        num_tokens = resized[0] * resized[1] // side**2
        if num_tokens > self.max_tokens:
            raise ValueError(
                f"a frame of {height} x {width} pixels would take {num_tokens} tokens, more than the "
                f"{self.max_tokens} that this model has room for; one side may be up to 16 times the other, "
                f"or raise max_pixels"
            )
        return resized

    def _within_bounds(self, height: int, width: int) -> tuple[int, int]:
        side, frames = self.patch_size * self.merge_size, self.num_bounded_frames
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

    def tokens(self, height: int, width: int) -> int:
        """Return the visual tokens of one temporal patch of images of a size, after merging.

        Args:
            height: pixels of the image.
            width: pixels of the image.

        Raises:
            ValueError: images of this size are not accepted (see ``resized``).
        """
        rows, columns = self.resized(height, width)
        return rows * columns // (self.patch_size * self.merge_size) ** 2

    def shrink(self, image: Image, size: tuple[int, int]) -> Image:
        """Return an image as ``pixels`` resizes it, or the image itself if that is no smaller.

        Args:
            image: RGB.
            size: height and width of the image before it was shrunk.

        Raises:
            ValueError: images of this size are not accepted (see ``resized``).
        """
        height, width = self.resized(*size)
        if height * width >= image.shape[0] * image.shape[1]:
            return image
        return to_image(resize(to_tensor([image], torch.device("cpu")), (height, width), self.scaling.mode))

    def pixels(
        self,
        images: Sequence[Image],
        sizes: Sequence[tuple[int, int]] | None = None,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Pixels:
        """Turn frames into what the vision tower reads.

        Patches that merge into one visual token follow each other, tokens in order of time, row and column;
        a patch holds its channels, of each its frames, of each its rows.

        Args:
            images: RGB, of one size, or shrunk already; the last is repeated to fill a temporal patch.
            sizes: height and width of each image before it was shrunk; None, if none was.
            device: where the work is done.
            dtype: of the result; all arithmetic is in float32.

        Raises:
            ValueError: there is no frame, the sizes differ, or are not accepted (see ``resized``).
        """
        distinct = set(sizes or (image.shape[:2] for image in images))
        if len(distinct) != 1:
            raise ValueError(f"frames must be one or more of one size, got sizes {sorted(distinct)}")
        size = self.resized(*distinct.pop())
        batches = alike(images, [size] * len(images), size[1])
        frames = joined([resize(to_tensor(batch, device), size, self.scaling.mode) for batch, _ in batches])
        if missing := -len(frames) % self.temporal_patch_size:
            frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
        grid = (
            len(frames) // self.temporal_patch_size,
            size[0] // self.patch_size,
            size[1] // self.patch_size,
        )
        values = made_in_parts(frames, self._cut, dtype, multiple=self.temporal_patch_size)
        return Pixels(values=values, grid=grid)

    def _cut(self, pixels: UInt8[Tensor, "frames 3 height width"]) -> Float[Tensor, "patches values"]:
        """Normalise frames of whole temporal patches, and cut them into patches."""
        time, patch, merge = self.temporal_patch_size, self.patch_size, self.merge_size
        frames = self.scaling.normalise(pixels)
        _, channels, height, width = frames.shape
        merged = patch * merge
        blocks = frames.reshape(
            -1, time, channels, height // merged, merge, patch, width // merged, merge, patch
        )
        # from: t, frame, channel, row, merged row, y, column, merged column, x
        return blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * time * patch * patch)


def _read_bound(file: Settings, old: str, new: str, default: int) -> int:
    size = file.section("size")
    return file.integer(old, size.integer(new, size.integer(old, default)))
