"""Pixels as the official video processors made them, to 1/255 before normalisation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.data.preprocessing.inputs import SETTINGS, synthetic

from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.preprocess import Preprocessing

FOLDER = Path(__file__).parents[1] / "data" / "preprocessing"
VECTORS = load_file(FOLDER / "vectors.safetensors")
SUMMARY = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
CLIPS = {**synthetic(), **{case: VECTORS[f"input.{case}"] for case in ("photograph", "drawing")}}
CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
PATCHES = [name for name in SETTINGS if name.startswith("qwen")]
SQUARES = [name for name in SETTINGS if name not in PATCHES]


def patching(name: str) -> PatchPreprocessing:
    settings = SETTINGS[name]
    sides = {"patch_size": settings["patch_size"], "temporal_patch_size": 2, "spatial_merge_size": 2}
    return PatchPreprocessing.from_settings(
        settings,
        SimpleNamespace(**sides),
        default_min_pixels=1,
        default_max_pixels=1,
        bounds="temporal_patch" if name.startswith("qwen3") else "frame",
    )


def largest_difference(name: str, case: str, pixels: torch.Tensor) -> float:
    """In levels of 0-255; every pixel tensor has its three channels in the second axis or in the row."""
    assert list(pixels.shape) == SUMMARY["outputs"][f"{name}.{case}"]["shape"]
    settings = SETTINGS[name]
    mean, std = (torch.tensor(settings[key])[:, None] for key in ("image_mean", "image_std"))
    levels = ((pixels.reshape(len(pixels), 3, -1) * std + mean) * 255).flatten().numpy()
    official = VECTORS[f"{name}.{case}.levels"].astype(np.float32)
    return float(np.abs(levels[VECTORS[f"{name}.{case}.places"]] - official).max())


@pytest.mark.parametrize("case", CLIPS)
def test_the_inputs_are_those_that_the_official_processors_saw(case):
    assert hashlib.sha256(CLIPS[case].tobytes()).hexdigest() == SUMMARY["inputs"][case]


@pytest.mark.parametrize("case", CLIPS)
@pytest.mark.parametrize("name", PATCHES)
def test_patches_agree_to_one_level(name, case):
    ours = patching(name)
    pixels = ours.pixels(list(CLIPS[case]), **CPU)
    assert list(pixels.grid) == SUMMARY["outputs"][f"{name}.{case}"]["grid"]
    assert largest_difference(name, case, pixels.values) <= 1 + 1e-3
    height, width = CLIPS[case].shape[1:3]
    patch = ours.patch_size
    assert tuple(side // patch for side in ours.resized(height, width)) == pixels.grid[1:]
    assert ours.tokens(height, width) * pixels.grid[0] * 4 == len(pixels.values)


@pytest.mark.parametrize("case", CLIPS)
@pytest.mark.parametrize("name", SQUARES)
def test_squares_agree_to_one_level(name, case):
    ours = Preprocessing.from_settings(SETTINGS[name], image_size=1)
    pixels = ours.pixels(list(CLIPS[case]), **CPU).values
    assert largest_difference(name, case, pixels) <= 1 + 1e-3
