"""Pixels as the official image processors make them."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hermes_lab.bench.operation_count import OperationCount
from hermes_stream import ModelError
from hermes_stream.models import preprocess
from hermes_stream.models.preprocess import Preprocessing, alike, to_tensor
from hermes_stream.models.resize import fit_longest_side, resize, resize_by_weights, resize_weights

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.mark.parametrize("shape", [(360, 640), (48, 48), (31, 97), (20, 20), (720, 480)])
@pytest.mark.parametrize(("resample", "pil"), [(2, Image.Resampling.BILINEAR), (3, Image.Resampling.BICUBIC)])
def test_resizing_agrees_with_pillow_to_one_level(shape, resample, pil):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, size=(shape[0] // 8 + 1, shape[1] // 8 + 1, 3), dtype=np.uint8)
    image = blocks.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]]
    settings = {"size": {"height": 48, "width": 48}, "resample": resample}
    pixels = Preprocessing.from_settings(settings, image_size=0).pixels([image], **CPU).values
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
    pixels = (
        Preprocessing.from_settings(settings, image_size=4)
        .pixels([np.full((8, 8, 3), 10, np.uint8)], **CPU)
        .values
    )
    assert pixels.shape == (1, 3, 8, 8)
    assert pixels[0, :, 0, 0].tolist() == [2.0, 0.75, 0.25]
    plain = Preprocessing.from_settings({"do_rescale": False, "do_normalize": False}, image_size=4)
    assert plain.pixels([np.full((2, 2, 3), 7, np.uint8)], **CPU).values.unique().tolist() == [7.0]


def test_an_unknown_resampling_is_refused():
    with pytest.raises(ModelError, match=r"resample in .* is 5; accepted: 1 \(lanczos\), 2"):
        Preprocessing.from_settings({"resample": 5}, image_size=4)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(48, 48), (31, 97), (100, 60), (60, 200)])
def test_other_devices_resize_as_the_cpu_does(mode, size):
    image = np.random.default_rng(2).integers(0, 256, size=(60, 100, 3), dtype=np.uint8)
    pixels = to_tensor([image], CPU["device"])
    assert torch.equal(resize_by_weights(pixels, size, mode), resize(pixels, size, mode))


@pytest.mark.parametrize("size", [(48, 48), (31, 97), (200, 150)])
def test_lanczos_agrees_with_pillow_to_one_level(size):
    # Of low contrast, so that nothing overshoots: torch cuts at 0 and 255 between its two passes.
    image = np.random.default_rng(3).integers(80, 176, size=(60, 100, 3), dtype=np.uint8)
    ours = resize_by_weights(to_tensor([image], CPU["device"]), size, "lanczos")[0].permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.LANCZOS))
    assert np.abs(ours.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (240, 320, (384, 512)),
        (321, 240, (512, 382)),
        (1, 4000, (1, 512)),
        (100, 300, (170, 512)),
        (300, 103, (512, 176)),
    ],
)
def test_the_longest_side_is_fitted_and_the_other_is_even(height, width, expected):
    assert fit_longest_side(height, width, 512) == expected


def test_frames_are_squared_after_their_longest_side_is_fitted():
    settings = {"size": {"longest_edge": 9000}, "max_image_size": {"longest_edge": 16}, "resample": 1}
    ours = Preprocessing.from_settings(settings, image_size=4)
    assert (ours.longest_side, ours.height, ours.width, ours.scaling.mode) == (4096, 16, 16, "lanczos")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"do_center_crop": True}, "do_center_crop must be false"),
        ({"max_image_size": {"longest_edge": 16}}, "longest_edge"),
        ({"max_image_size": {"longest_edge": 16}, "size": {"height": 8, "width": 8}}, "longest_edge"),
        ({"size": 384}, "size in the preprocessor file is 384; accepted: a JSON object"),
        ({"size": {"height": 2.5}}, r"height in size in .* is 2\.5; accepted: a whole number of at least 1"),
        ({"rescale_factor": 0}, "rescale_factor in .* is 0; accepted: a number above 0"),
        ({"image_std": [0.5, True, 0.5]}, "image_std in .* accepted: a list of three numbers"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        Preprocessing.from_settings(settings, image_size=4)


@pytest.mark.parametrize("mode", [2, 3])
def test_pictures_are_resized_together_as_each_alone(mode):
    rng = np.random.default_rng(4)
    images = [
        rng.integers(0, 256, size=(*size, 3), dtype=np.uint8) for size in 3 * [(60, 100)] + 2 * [(48, 48)]
    ]
    preprocessing = Preprocessing.from_settings(
        {"size": {"height": 48, "width": 48}, "resample": mode}, image_size=0
    )
    together = preprocessing.pixels(images, **CPU).values
    alone = torch.cat([preprocessing.pixels([image], **CPU).values for image in images])
    assert torch.equal(together, alone)
    assert [len(batch) for batch, _ in alike(images, [image.shape[:2] for image in images], 48)] == [3, 2]
    huge = [np.zeros((2160, 3840, 3), np.uint8)] * 2
    assert [len(batch) for batch, _ in alike(huge, [(2160, 3840)] * 2, 48)] == [1, 1]
    large = [np.zeros((1080, 1920, 3), np.uint8)] * 6
    assert [len(batch) for batch, _ in alike(large, [(1080, 1920)] * 6, 384)] == [4, 2]


class MostBytes(TorchDispatchMode):
    """Notes the most bytes of tensors on the meta device that are alive at once."""

    def __init__(self):
        super().__init__()
        self.live = self.most = 0
        self._known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            storage = one.untyped_storage()
            if one.device.type == "meta" and storage._cdata not in self._known:
                self._known.add(storage._cdata)
                self.live += storage.nbytes()
                self.most = max(self.most, self.live)
                weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        return made

    def _freed(self, key, num_bytes):
        self._known.discard(key)
        self.live -= num_bytes


@pytest.mark.parametrize("shape", [(392, 392), (720, 1280), (1080, 1920)])
@pytest.mark.parametrize("count", [4, 16, 64])
def test_what_preparing_takes_does_not_grow_with_the_pictures(shape, count):
    """But for what is made: pixels in whole numbers, and as the tower reads them."""
    there = {"device": torch.device("meta"), "dtype": torch.bfloat16}
    preprocessing = Preprocessing(height=384, width=384)
    images = [np.zeros((*shape, 3), np.uint8)] * count
    preprocessing.pixels(images[:1], **there)  # makes the weights
    with MostBytes() as bytes_of:
        made = preprocessing.pixels(images, **there)
    assert made.values.shape == (count, 3, 384, 384)
    left = made.values.nbytes * 3 // 2
    assert bytes_of.most <= 97 * 2**20 + 2 * left


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pictures_prepared_in_parts_are_bit_for_bit_those_made_at_once(dtype, monkeypatch):
    rng = np.random.default_rng(6)
    images = [rng.integers(0, 256, size=(1080, 1920, 3), dtype=np.uint8) for _ in range(3)]
    ours, where = Preprocessing(height=384, width=384), CPU | {"dtype": dtype}
    whole = torch.cat([resize(to_tensor([one], CPU["device"]), (384, 384), "bicubic") for one in images])
    expected = ours.scaling.normalise(whole).to(dtype)
    assert torch.equal(ours.pixels(images, **where).values, expected)
    monkeypatch.setattr(preprocess, "_NORMALISING_BYTES", 1)
    monkeypatch.setattr(preprocess, "_RESIZING_BYTES", 1)
    assert torch.equal(ours.pixels(images, **where).values, expected)


def test_other_devices_resize_many_pictures_with_the_kernels_of_one():
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, size=(60, 100, 3), dtype=np.uint8) for _ in range(4)]
    counts, found = [], []
    for batch in (images[:1], images):
        pixels = to_tensor(batch, CPU["device"])
        resize_by_weights(pixels, (48, 48), "bicubic")  # makes the weights
        with OperationCount([pixels, *resize_weights(100, 48, "bicubic", CPU["device"])]) as count:
            found.append(resize_by_weights(pixels, (48, 48), "bicubic"))
        counts.append(count.num_kernels)
    assert counts[0] == counts[1] > 0
    assert torch.equal(found[1][:1], found[0])
