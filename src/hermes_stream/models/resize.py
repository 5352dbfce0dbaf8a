"""Resizing of images to whole pixel values, the same on every device."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

Interpolation = Literal["lanczos", "bilinear", "bicubic"]

_FINEST_STEPS = 1 << 22
_HAS_LANCZOS = torch.__version__ >= "2.13"


def fit_longest_side(height: int, width: int, longest_side: int) -> tuple[int, int]:
    """Return the size of an image with its longest side given and the other made even, as SmolVLM has it.

    Args:
        height: pixels of the image.
        width: pixels of the image.
        longest_side: pixels of the result's longest side.
    """
    ratio = width / height
    if width >= height:
        other = int(longest_side / ratio)
        return max(other + other % 2, 1), longest_side
    other = int(longest_side * ratio)
    return longest_side, max(other + other % 2, 1)


def resize(
    pixels: UInt8[Tensor, "frames 3 rows columns"], size: tuple[int, int], mode: Interpolation
) -> UInt8[Tensor, "frames 3 height width"]:
    """Resize as image libraries do: first along rows, then along columns, to whole values each time.

    Args:
        pixels: 0-255.
        size: height and width of the result.
        mode: interpolation, with antialiasing.
    """
    if pixels.shape[2:] == size:
        return pixels
    # torch rounds between its two passes on the CPU alone; elsewhere the same weights are summed explicitly.
    if pixels.device.type == "cpu" and (mode != "lanczos" or _HAS_LANCZOS):
        return F.interpolate(pixels, size=size, mode=mode, antialias=True, align_corners=False)
    return resize_by_weights(pixels, size, mode)


def resize_by_weights(
    pixels: UInt8[Tensor, "frames 3 rows columns"], size: tuple[int, int], mode: Interpolation
) -> UInt8[Tensor, "frames 3 height width"]:
    """Resize with explicit weights, on any device.

    Args:
        pixels: 0-255.
        size: height and width of the result.
        mode: interpolation, with antialiasing.
    """
    for axis, length in ((3, size[1]), (2, size[0])):
        if pixels.shape[axis] != length:
            lines = pixels.movedim(axis, 0).contiguous()
            sources, weights = resize_weights(len(lines), length, mode, lines.device)
            total = weights.new_full((length, *lines.shape[1:]), 0.5)
            for source, weight in zip(sources, weights, strict=True):
                # a product of whole numbers and float32 is float32: the lines themselves need not be
                total += lines[source] * weight.view(-1, 1, 1, 1)
            pixels = total.floor_().clamp_(0, 255).to(torch.uint8).movedim(0, axis)
    return pixels


def resize_bytes(height: int, width: int, resized_width: int) -> int:
    """Return the bytes that resizing a picture takes on its way, by explicit weights, less what it gives.

    Args:
        height: pixels of the picture.
        width: pixels of the picture.
        resized_width: pixels of the result.
    """
    given, total = 3 * height * width, 4 * 3 * height * resized_width
    return 2 * given + 2 * total  # as given and with its columns first; a sum, and what is added to it


@lru_cache(maxsize=8)
def resize_weights(
    length: int, resized: int, mode: Interpolation, device: torch.device
) -> tuple[Int[Tensor, "taps resized"], Float[Tensor, "taps resized"]]:
    """Return which source pixels make each resized pixel, and their weights.

    Weights are multiples of a power of two, the finest with which the largest fits 16 bits, as in torch's
    resizing of whole numbers.

    Args:
        length: source pixels, 1 or more.
        resized: resulting pixels, 1 or more.
        mode: interpolation, with antialiasing.
        device: where the result is needed.
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


# How a pixel's weight falls with its distance, and the distance from which it is 0.
_KERNELS = {"bilinear": (_triangle, 1), "bicubic": (_cubic, 2), "lanczos": (_lanczos, 3)}
