"""Sizes, order and refusals of the Qwen-VL families' patches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hermes_stream import ModelError
from hermes_stream.models import preprocess
from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.preprocess import CLIP_MEAN, HALF, Scaling

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
TOWER = SimpleNamespace(patch_size=14, temporal_patch_size=2, spatial_merge_size=2)
DEFAULTS = {"default_min_pixels": 3136, "default_max_pixels": 602112}


def preprocessing(settings=None, **kwargs) -> PatchPreprocessing:
    return PatchPreprocessing.from_settings(settings or {}, TOWER, **DEFAULTS, **kwargs)


def plain(**kwargs) -> PatchPreprocessing:
    sizes = {"patch_size": 2, "temporal_patch_size": 2, "merge_size": 2, "min_pixels": 1, "max_pixels": 10**6}
    levels = Scaling(rescale_factor=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return PatchPreprocessing(**{**sizes, **kwargs}, scaling=levels)


def test_bounds_come_from_the_old_names_then_the_new_then_the_default():
    new = {"size": {"shortest_edge": 5000, "longest_edge": 50000}}
    old = {"min_pixels": 6000, "max_pixels": 60000}
    bounds = [
        (ours.min_pixels, ours.max_pixels)
        for ours in (
            preprocessing(),
            preprocessing(new),
            preprocessing({**new, **old}),
            preprocessing({"size": old}),
        )
    ]
    assert bounds == [(3136, 602112), (5000, 50000), (6000, 60000), (6000, 60000)]


def test_scaling_is_that_of_the_family_where_the_file_names_none():
    assert preprocessing().scaling.mean == CLIP_MEAN
    assert preprocessing(bounds="temporal_patch").scaling.mean == HALF
    assert preprocessing({"image_mean": [0.1, 0.2, 0.3]}).scaling.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": 16}, "patch_size is 16"),
        ({"temporal_patch_size": 1}, "temporal_patch_size is 1"),
        (
            {"min_pixels": 0},
            "min_pixels in .* is 0; accepted: a whole number of at least 1",
        ),
        ({"resample": 0}, "resample in the preprocessor file is 0"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        preprocessing(settings)


def test_bounds_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="got 9 and 8"):
        preprocessing({"min_pixels": 9, "max_pixels": 8})


@pytest.mark.parametrize("bounds", ["frame", "temporal_patch"])
@pytest.mark.parametrize(("height", "width"), [(720, 1280), (64, 64), (3, 5), (1000, 20), (2160, 3840)])
def test_a_resized_frame_is_whole_merged_patches_within_the_bounds(bounds, height, width):
    ours = preprocessing(bounds=bounds)
    resized = ours.resized(height, width)
    frames = 1 if bounds == "frame" else 2
    assert all(side % 28 == 0 for side in resized)
    assert 3136 <= frames * resized[0] * resized[1] <= 602112
    assert ours.tokens(height, width) == resized[0] * resized[1] // 28**2


def test_a_temporal_patch_has_its_frames_bounded_together():
    assert preprocessing(bounds="frame").tokens(720, 1280) == 720
    assert preprocessing(bounds="temporal_patch").tokens(720, 1280) == 364


def test_patches_hold_channels_then_frames_and_stand_by_merged_patch():
    frames, height, width = 4, 8, 12
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, size=(frames, height, width, 3), dtype=np.uint8)
    pixels = plain().pixels(list(clip), **CPU)
    patches, grid = pixels.values, pixels.grid
    assert grid == (2, 4, 6)
    row = 0
    for time in range(2):
        for block_row in range(2):
            for block_column in range(3):
                for place in range(4):
                    top, left = block_row * 4 + place // 2 * 2, block_column * 4 + place % 2 * 2
                    patch = clip[time * 2 : time * 2 + 2, top : top + 2, left : left + 2]
                    expected = patch.transpose(3, 0, 1, 2).reshape(-1)
                    assert patches[row].tolist() == expected.tolist()
                    row += 1
    assert row == len(patches)


def test_the_last_frame_fills_a_temporal_patch():
    clip = list(np.random.default_rng(1).integers(0, 256, size=(3, 4, 4, 3), dtype=np.uint8))
    pixels = plain().pixels(clip, **CPU)
    assert pixels.grid == (2, 2, 2)
    assert torch.equal(pixels.values, plain().pixels([*clip, clip[-1]], **CPU).values)


@pytest.mark.parametrize("sizes", [[], [(4, 4), (4, 8)]])
def test_frames_must_have_one_size(sizes):
    with pytest.raises(ValueError, match="one or more of one size"):
        plain().pixels([np.zeros((*size, 3), np.uint8) for size in sizes], **CPU)


def test_a_ribbon_is_refused():
    with pytest.raises(ValueError, match="got 4 x 1000 pixels"):
        plain().resized(4, 1000)


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patches_made_in_parts_are_bit_for_bit_those_made_at_once(count, dtype, monkeypatch):
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, size=(108, 192, 3), dtype=np.uint8) for _ in range(count)]
    where = CPU | {"dtype": dtype}
    whole = preprocessing().pixels(images, **where)
    monkeypatch.setattr(preprocess, "_NORMALISING_BYTES", 1)
    monkeypatch.setattr(preprocess, "_RESIZING_BYTES", 1)
    parts = preprocessing().pixels(images, **where)
    assert parts.grid == whole.grid
    assert torch.equal(parts.values, whole.values)
