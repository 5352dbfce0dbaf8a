"""Pictures and settings that the official processors and ours are compared on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
QWEN2 = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2, **CLIP}
QWEN3 = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **HALF}

# Contents of preprocessor files: as the public checkpoints write them, and with bounds that most cases meet.
SETTINGS: dict[str, dict[str, Any]] = {
    "llava_onevision": {"size": {"height": 384, "width": 384}, "resample": 3, **HALF},
    "qwen2_vl": {"min_pixels": 3136, "max_pixels": 12845056, **QWEN2},
    "qwen2_5_vl": {"size": {"shortest_edge": 100352, "longest_edge": 200704}, **QWEN2},
    "qwen3_vl": {"size": {"shortest_edge": 4096, "longest_edge": 25165824}, **QWEN3},
    "qwen3_vl_bounded": {"size": {"shortest_edge": 131072, "longest_edge": 262144}, **QWEN3},
    "internvl": {"size": {"height": 448, "width": 448}, "resample": 3, "crop_to_patches": False, **IMAGENET},
    "smolvlm": {
        "size": {"longest_edge": 2048},
        "max_image_size": {"longest_edge": 512},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}},
        "do_image_splitting": True,
        "do_pad": True,
        "resample": 1,
        **HALF,
    },
    "smolvlm_sampling": {
        "max_image_size": {"longest_edge": 384},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}},
        "resample": 3,
        **HALF,
    },
}

# Kind, frames, height, width; the seed is the place in this table.
SYNTHETIC = [
    ("noise", 3, 64, 64),
    ("edges", 2, 240, 320),
    ("gradient", 2, 426, 240),
    ("noise", 2, 37, 53),
    ("edges", 3, 100, 500),
    ("noise", 2, 720, 1280),
    ("gradient", 2, 20, 20),
    ("edges", 2, 20, 400),
]


def synthetic() -> dict[str, NDArray[np.uint8]]:
    """Make the synthetic clips, ``[frames, height, width, 3]`` each, by name."""
    return {
        f"{kind}_{height}x{width}": make(
            kind, (frames, height, width), np.random.Generator(np.random.PCG64(seed))
        )
        for seed, (kind, frames, height, width) in enumerate(SYNTHETIC)
    }


def make(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Make one clip of noise, of boxes of one colour each, or of slopes of brightness."""
    frames, height, width = shape
    if kind == "noise":
        return rng.integers(0, 256, size=(*shape, 3), dtype=np.uint8)
    clip = np.zeros((*shape, 3), np.uint8)
    if kind == "gradient":
        rows, columns = np.mgrid[:height, :width]
        slopes = rng.integers(1, 8, size=(frames, 3, 2))
        for frame in range(frames):
            for channel, (down, right) in enumerate(slopes[frame]):
                clip[frame, ..., channel] = (rows * down + columns * right) // 4 % 256
        return clip
    for frame in range(frames):
        for _ in range(12):
            top, left = rng.integers(height), rng.integers(width)
            tall, wide = rng.integers(1, height), rng.integers(1, width)
            clip[frame, top : top + tall, left : left + wide] = rng.integers(0, 256, size=3)
    return clip
