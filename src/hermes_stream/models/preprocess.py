"""Images to pixel values of one size, as a checkpoint's preprocessor file says, in torch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.memory.constants import constant, sent
from hermes_stream.models.resize import Interpolation, fit_longest_side, resize, resize_bytes
from hermes_stream.models.settings import Settings
from hermes_stream.models.visual import Pixels

Channels = tuple[float, float, float]
Image = UInt8[np.ndarray, "height width 3"]

HALF: Channels = (0.5, 0.5, 0.5)
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE_MODES: dict[str | int, Interpolation] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_MAX_SIDE = 4096
_RESIZING_BYTES = 96 * 2**20  # four pictures of 1080 rows, 384 columns at the end; encoding takes more
_NORMALISING_BYTES = 16 * 2**20  # four pictures of 384 pixels a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How pixel values are interpolated, scaled and normalised.

    Attributes:
        mode: interpolation, with antialiasing.
        rescale_factor: what pixel values 0-255 are multiplied by.
        mean: of each colour channel, after scaling.
        std: of each colour channel, after scaling.
    """

    mode: Interpolation = "bicubic"
    rescale_factor: float = 1 / 255
    mean: Channels = HALF
    std: Channels = HALF

    @classmethod
    def from_settings(cls, file: Settings, *, mean: Channels = HALF, std: Channels = HALF) -> Scaling:
        """Read a preprocessor file, which names the interpolation by Pillow's number.

        Args:
            file: the preprocessor file's settings.
            mean: of each colour channel, for settings that name none.
            std: of each colour channel, for settings that name none.

        Raises:
            ModelError: a value is not accepted.
        """
        is_scaled, is_normalised = (file.boolean(f"do_{it}", default=True) for it in ("rescale", "normalize"))
        return cls(
            mode=file.choice("resample", _RESAMPLE_MODES, default=3),
            rescale_factor=file.number("rescale_factor", 1 / 255, most=1) if is_scaled else 1.0,
            mean=file.channels("image_mean", mean) if is_normalised else (0.0, 0.0, 0.0),
            std=file.channels("image_std", std, above_zero=True) if is_normalised else (1.0, 1.0, 1.0),
        )

    def normalise(
        self, pixels: UInt8[Tensor, "frames 3 height width"]
    ) -> Float[Tensor, "frames 3 height width"]:
        """Scale pixel values, subtract the mean and divide by the standard deviation, in float32."""
        mean, std = (constant(own, torch.float32, pixels.device) for own in (self.mean, self.std))
        return (pixels.float() * self.rescale_factor - mean.view(3, 1, 1)) / std.view(3, 1, 1)


DEFAULT_SCALING = Scaling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Resize to one size, scale, normalise.

    Attributes:
        height: pixels of the result.
        width: pixels of the result.
        longest_side: pixels of the longest side that an image is first resized to, aspect ratio kept, as
            SmolVLM does; None resizes once.
        scaling: interpolation and normalisation.
    """

    height: int
    width: int
    longest_side: int | None = None
    scaling: Scaling = DEFAULT_SCALING

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | Settings, *, image_size: int) -> Preprocessing:
        """Read a preprocessor file's settings.

        A frame is always one tile: ``crop_to_patches`` and ``do_image_splitting`` are for single images.

        Args:
            settings: contents of ``video_preprocessor_config.json`` or ``preprocessor_config.json``.
            image_size: side of the vision tower's input, for settings that name no size.

        Raises:
            ModelError: the settings ask for something that is not supported.
        """
        file = Settings.of(settings, "the preprocessor file")
        refuse_cropping(file)
        size, longest_side = file.section("size"), None
        if file.section("max_image_size").values:
            longest_side = min(_read_longest_side(file), _MAX_SIDE)
            height = width = file.section("max_image_size").integer(
                "longest_edge", image_size, most=_MAX_SIDE
            )
        else:
            side = size.integer("shortest_edge", image_size, most=_MAX_SIDE)
            height, width = (size.integer(it, side, most=_MAX_SIDE) for it in ("height", "width"))
        scaling = Scaling.from_settings(file)
        return cls(height=height, width=width, longest_side=longest_side, scaling=scaling)

    @property
    def max_image_bytes(self) -> int:
        """Bytes of an image of the size that images are resized to."""
        return 3 * self.height * self.width

    def pixels(
        self,
        images: Sequence[Image],
        sizes: Sequence[tuple[int, int]] | None = None,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Pixels:
        """Turn images into what the vision tower reads.

        Args:
            images: RGB, of any sizes, or shrunk already.
            sizes: height and width of each image before it was shrunk; None, if none was.
            device: where the work is done.
            dtype: of the result; all arithmetic is in float32.
        """
        sizes = sizes or [image.shape[:2] for image in images]
        batches = alike(images, sizes, max(self.width, self.longest_side or 0))
        resized = joined([self._resize(to_tensor(batch, device), size) for batch, size in batches])
        values = made_in_parts(resized, self.scaling.normalise, dtype)
        return Pixels(values=values, grid=(len(images), self.height, self.width))

    def shrink(self, image: Image, size: tuple[int, int]) -> Image:
        """Return an image as ``pixels`` resizes it, or the image itself if that is no smaller.

        Args:
            image: RGB.
            size: height and width of the image before it was shrunk.
        """
        if self.height * self.width >= image.shape[0] * image.shape[1]:
            return image
        return to_image(self._resize(to_tensor([image], torch.device("cpu")), size))

    def _resize(
        self, pixels: UInt8[Tensor, "images 3 rows columns"], source_size: tuple[int, int]
    ) -> UInt8[Tensor, "images 3 height width"]:
        size = (self.height, self.width)
        # A shrunk image went through both resizings: the first would enlarge it again.
        is_shrunk = tuple(pixels.shape[2:]) == size != tuple(source_size)
        if self.longest_side is not None and not is_shrunk:
            pixels = resize(pixels, fit_longest_side(*source_size, self.longest_side), self.scaling.mode)
        return resize(pixels, size, self.scaling.mode)


def refuse_cropping(file: Settings) -> None:
    """Refuse a preprocessor file that wants images cropped.

    Raises:
        ModelError: ``do_center_crop`` is not false.
    """
    if file.boolean("do_center_crop", default=False):
        raise ModelError(
            f"do_center_crop must be false in {file.source}: frames are resized whole, never cropped"
        )


def alike(
    images: Sequence[Image], sizes: Sequence[tuple[int, int]], resized_width: int
) -> Iterator[tuple[list[Image], tuple[int, int]]]:
    """Yield runs of images that are resized alike, each so short that resizing it takes little.

    Args:
        images: RGB, of any sizes.
        sizes: height and width of each image before it was shrunk.
        resized_width: pixels of a result, at most.
    """
    for (shape, size), run in groupby(zip(images, sizes, strict=True), lambda one: (one[0].shape, one[1])):
        same = [image for image, _ in run]
        most = max(1, _RESIZING_BYTES // resize_bytes(shape[0], shape[1], resized_width))
        for first in range(0, len(same), most):
            yield same[first : first + most], size


def made_in_parts(
    pixels: UInt8[Tensor, "frames 3 height width"],
    make: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    *,
    multiple: int = 1,
) -> Float[Tensor, "rows ..."]:
    """Return what is made of frames in float32, of a few at a time, so that little of it is there at once.

    Args:
        pixels: of frames, resized.
        make: of some of the frames, equally many rows of each.
        dtype: of the result.
        multiple: how many frames are made together at least; their number is a multiple of it.
    """
    count = len(pixels)
    each = 2 * 4 * multiple * pixels[0].numel()  # what is made, and what it is made of
    size = multiple * max(1, _NORMALISING_BYTES // each)
    if count <= size:
        return make(pixels).to(dtype)
    values: Tensor | None = None
    for first in range(0, count, size):
        part = make(pixels[first : first + size])
        if values is None:
            values = part.new_empty(len(part) * count // size, *part.shape[1:], dtype=dtype)
        begin = len(values) * first // count
        values[begin : begin + len(part)] = part
        del part  # before the next is made
    assert values is not None
    return values


def joined(parts: Sequence[UInt8[Tensor, "_ 3 height width"]]) -> UInt8[Tensor, "images 3 height width"]:
    """Return resized images as one tensor."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def to_tensor(images: Sequence[Image], device: torch.device) -> UInt8[Tensor, "images 3 height width"]:
    """Move images of one shape to a device, channels first, in one copy."""
    pixels = torch.from_numpy(np.ascontiguousarray(images[0])[None] if len(images) == 1 else np.stack(images))
    return sent(pixels, device).permute(0, 3, 1, 2)


def to_image(pixels: UInt8[Tensor, "1 3 height width"]) -> Image:
    """Return the image that ``to_tensor`` makes such pixels of, with memory of its own."""
    return pixels[0].permute(1, 2, 0).contiguous().numpy()


def _read_longest_side(file: Settings) -> int:
    """Return the longest side of the first of two resizings; the file's own size counts first."""
    size = file.section("size")
    if not size.values:
        size = file.section("video_sampling").section("video_size")
    longest_side = size.integer("longest_edge", None)
    if longest_side is None:
        raise ModelError(
            f"size must name longest_edge where max_image_size is given, got {size.values or 'no size'}; "
            f"see {file.source}"
        )
    return longest_side
