"""Pictures to pixel values, as a checkpoint's preprocessing file says, in torch alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Channels = tuple[float, float, float]

HALF: Channels = (0.5, 0.5, 0.5)
CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE_MODES = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_FINEST_STEPS = 1 << 22
_HAS_LANCZOS = torch.__version__ >= "2.13"
_LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Resize to one size, scale, normalise.

    Attributes:
        height: pixels of the result.
        width: pixels of the result.
        longest_side: pixels of the longest side that a picture is first resized to, aspect ratio kept, as
            SmolVLM does; None resizes once.
        mode: interpolation, with antialiasing.
        rescale_factor: what pixel values 0-255 are multiplied by.
        mean: of each colour channel, after scaling.
        std: of each colour channel, after scaling.
    """

    height: int
    width: int
    longest_side: int | None = None
    mode: str = "bicubic"
    rescale_factor: float = 1 / 255
    mean: Channels = HALF
    std: Channels = HALF

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], *, image_size: int) -> Preprocessing:
        """Read a preprocessor file's settings.

        A frame is always one tile: ``crop_to_patches`` and ``do_image_splitting`` are for single pictures.

        Args:
            settings: contents of ``video_preprocessor_config.json`` or ``preprocessor_config.json``.
            image_size: side of the vision tower's input, taken where the settings name no size.

        Raises:
            ValueError: the settings ask for something that is not supported.
        """
        if settings.get("do_center_crop"):
            raise ValueError("do_center_crop must be false: frames are resized whole, never cropped")
        size, longest_side = settings.get("size") or {}, None
        if squared := settings.get("max_image_size"):
            longest_side = min(_first_longest_side(settings), _LARGEST_SIDE)
            size = {"shortest_edge": squared["longest_edge"]}
        side = size.get("shortest_edge", image_size)
        rescale_factor, mean, std = read_scaling(settings, mean=HALF, std=HALF)
        return cls(
            height=size.get("height", side),
            width=size.get("width", side),
            longest_side=longest_side,
            mode=read_mode(settings),
            rescale_factor=rescale_factor,
            mean=mean,
            std=std,
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
        resized = torch.cat([self._resize(to_pixels(image, device)) for image in images])
        return normalise(resized, self.rescale_factor, self.mean, self.std).to(dtype)

    def _resize(self, pixels: UInt8[Tensor, "1 3 rows columns"]) -> UInt8[Tensor, "1 3 height width"]:
        if self.longest_side is not None:
            pixels = resize(
                pixels, fit_longest_side(pixels.shape[2], pixels.shape[3], self.longest_side), self.mode
            )
        return resize(pixels, (self.height, self.width), self.mode)


def read_mode(settings: Mapping[str, Any]) -> str:
    """Return the interpolation that a preprocessor file names by Pillow's number, else bicubic.

    Raises:
        ValueError: the number is not one of Lanczos, bilinear and bicubic.
    """
    resample = settings.get("resample")
    resample = 3 if resample is None else resample
    if resample not in _RESAMPLE_MODES:
        accepted = ", ".join(f"{number} ({mode})" for number, mode in _RESAMPLE_MODES.items())
        raise ValueError(f"resample must be one of {accepted}, got {resample}")
    return _RESAMPLE_MODES[resample]


def read_scaling(
    settings: Mapping[str, Any], *, mean: Channels, std: Channels
) -> tuple[float, Channels, Channels]:
    """Return factor, mean and standard deviation of a preprocessor file.

    Args:
        settings: contents of a preprocessor file.
        mean: of each colour channel where the file names none.
        std: of each colour channel where the file names none.
    """
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not settings.get("do_normalize", True):
        return factor, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return factor, tuple(settings.get("image_mean") or mean), tuple(settings.get("image_std") or std)


def to_pixels(image: NDArray[np.uint8], device: torch.device) -> UInt8[Tensor, "1 3 height width"]:
    """Move a picture to a device.

    Args:
        image: uint8 ``[height, width, 3]``.
        device: where the work is done.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(image))
    if device.type == "cuda":  # from pinned memory the host need not wait for the copy
        pixels = pixels.pin_memory()
    return pixels.to(device, non_blocking=True).permute(2, 0, 1)[None]


def normalise(
    pixels: UInt8[Tensor, "frames 3 height width"], rescale_factor: float, mean: Channels, std: Channels
) -> Float[Tensor, "frames 3 height width"]:
    """Scale pixel values, subtract the mean and divide by the standard deviation, in float32.

    Args:
        pixels: 0-255.
        rescale_factor: what they are multiplied by.
        mean: of each colour channel, after scaling.
        std: of each colour channel, after scaling.
    """
    middle = torch.tensor(mean, device=pixels.device).view(3, 1, 1)
    spread = torch.tensor(std, device=pixels.device).view(3, 1, 1)
    return (pixels.float() * rescale_factor - middle) / spread


def resize(
    pixels: UInt8[Tensor, "frames 3 rows columns"], size: tuple[int, int], mode: str
) -> UInt8[Tensor, "frames 3 height width"]:
    """Resize as image libraries do: first along rows, then along columns, to whole values each time.

    torch does so itself for whole numbers on the CPU, with Lanczos from 2.13 on. Elsewhere the same weights
    are summed explicitly, so that every device gives the same pixels.

    Args:
        pixels: 0-255.
        size: height and width of the result.
        mode: "bilinear", "bicubic" or "lanczos", with antialiasing.
    """
    if pixels.shape[2:] == size:
        return pixels
    if pixels.device.type == "cpu" and (mode != "lanczos" or _HAS_LANCZOS):
        return F.interpolate(pixels, size=size, mode=mode, antialias=True, align_corners=False)
    return resize_by_weights(pixels, size, mode)


def resize_by_weights(
    pixels: UInt8[Tensor, "frames 3 rows columns"], size: tuple[int, int], mode: str
) -> UInt8[Tensor, "frames 3 height width"]:
    """Resize with explicit weights, on any device.

    Args:
        pixels: 0-255.
        size: height and width of the result.
        mode: "bilinear", "bicubic" or "lanczos", with antialiasing.
    """
    values = pixels.float()
    for axis, length in ((3, size[1]), (2, size[0])):
        if values.shape[axis] != length:
            lines = values.movedim(axis, 0).contiguous()
            sources, weights = resize_weights(len(lines), length, mode, lines.device)
            total = lines.new_full((length, *lines.shape[1:]), 0.5)
            for source, weight in zip(sources, weights, strict=True):
                total += lines[source] * weight.view(-1, 1, 1, 1)
            values = total.floor().clamp(0, 255).movedim(0, axis)
    return values.to(torch.uint8)


@lru_cache(maxsize=8)
def resize_weights(
    length: int, resized: int, mode: str, device: torch.device
) -> tuple[Int[Tensor, "taps resized"], Float[Tensor, "taps resized"]]:
    """Return which source pixels make each resized pixel, and what each of them gives to it.

    Weights are whole multiples of a power of two, the finest with which the largest fits 16 bits, as in
    torch's resizing of whole numbers.

    Args:
        length: source pixels, 1 or more.
        resized: resulting pixels, 1 or more.
        mode: "bilinear", "bicubic" or "lanczos".
        device: where they are needed.
    """
    kernel, reach = _KERNELS[mode]
    scale = length / resized
    stretch = max(scale, 1.0)
    centres = (torch.arange(resized, dtype=torch.float64) + 0.5) * scale
    taps = torch.arange(2 * math.ceil(reach * stretch) + 1)
    sources = (centres - reach * stretch).floor().long() + taps[:, None]
    weights = kernel((sources + 0.5 - centres).abs() / stretch)
    weights = weights.where((sources >= 0) & (sources < length), 0.0)
    weights /= weights.sum(0)
    steps = 1
    while steps < _FINEST_STEPS and int(0.5 + float(weights.max()) * steps * 2) < 1 << 15:
        steps *= 2
    whole = (weights.abs() * steps + 0.5).floor().copysign(weights)
    return sources.clamp(0, length - 1).to(device), (whole / steps).to(device, torch.float32)


def _triangle(distance: Float[Tensor, "taps resized"]) -> Float[Tensor, "taps resized"]:
    return (1 - distance).clamp(min=0)


def _cubic(distance: Float[Tensor, "taps resized"]) -> Float[Tensor, "taps resized"]:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return near.where(distance < 1, far).where(distance < 2, 0.0)


def _lanczos(distance: Float[Tensor, "taps resized"]) -> Float[Tensor, "taps resized"]:
    return (torch.sinc(distance) * torch.sinc(distance / 3)).where(distance < 3, 0.0)


# How a pixel's weight falls with its distance, and the distance from which it gives nothing.
_KERNELS = {"bilinear": (_triangle, 1), "bicubic": (_cubic, 2), "lanczos": (_lanczos, 3)}


def fit_longest_side(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """Return the size of a picture whose longest side is given, the other made even, as SmolVLM computes it.

    Args:
        height: pixels of the picture.
        width: pixels of the picture.
        longest_side: pixels of the result's longest side.
    """
    ratio = width / height
    if width >= height:
        other = int(longest_side / ratio)
        return max(other + other % 2, 1), longest_side
    other = int(longest_side * ratio)
    return longest_side, max(other + other % 2, 1)


def _first_longest_side(settings: Mapping[str, Any]) -> int:
    """Return the longest side of the first of two resizings; the file's own size counts first."""
    size = settings.get("size") or (settings.get("video_sampling") or {}).get("video_size") or {}
    if "longest_edge" not in size:
        raise ValueError(
            f"size must name longest_edge where max_image_size is given, got {size or 'no size'}; "
            f"see the checkpoint's preprocessor file"
        )
    return int(size["longest_edge"])
