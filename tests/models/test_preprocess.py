"""Pixels as the official image processors make them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from hermes_stream.models.preprocess import Preprocessing

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.mark.parametrize("shape", [(360, 640), (48, 48), (31, 97), (20, 20), (720, 480)])
@pytest.mark.parametrize(("resample", "pil"), [(2, Image.Resampling.BILINEAR), (3, Image.Resampling.BICUBIC)])
def test_resizing_agrees_with_pillow_to_one_level(shape, resample, pil):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, size=(shape[0] // 8 + 1, shape[1] // 8 + 1, 3), dtype=np.uint8)
    image = blocks.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]]
    settings = {"size": {"height": 48, "width": 48}, "resample": resample}
    pixels = Preprocessing.from_settings(settings, image_size=0).pixel_values([image], **CPU)
    expected = np.asarray(Image.fromarray(image).resize((48, 48), pil), dtype=np.float32) / 127.5 - 1
    assert np.abs(pixels[0].permute(1, 2, 0).numpy() - expected).max() <= 2 / 255 + 1e-6


def test_settings_are_followed():
    settings = {
        "size": {"shortest_edge": 8},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 0.5,
        "do_normalize": True,
        "image_mean": [1.0, 2.0, 3.0],
        "image_std": [2.0, 4.0, 8.0],
    }
    pixels = Preprocessing.from_settings(settings, image_size=4).pixel_values(
        [np.full((8, 8, 3), 10, np.uint8)], **CPU
    )
    assert pixels.shape == (1, 3, 8, 8)
    assert pixels[0, :, 0, 0].tolist() == [2.0, 0.75, 0.25]
    plain = Preprocessing.from_settings({"do_rescale": False, "do_normalize": False}, image_size=4)
    assert plain.pixel_values([np.full((2, 2, 3), 7, np.uint8)], **CPU).unique().tolist() == [7.0]


def test_an_unknown_resampling_is_refused():
    with pytest.raises(ValueError, match="got 5"):
        Preprocessing.from_settings({"resample": 5}, image_size=4)
