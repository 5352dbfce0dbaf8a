"""A frame in the size that the model sees is prepared bit for bit as the frame itself, for every family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkpoints import visual_tokens
from tests.families import FAMILIES

from hermes_stream import load_model
from hermes_stream.models.patches import PatchPreprocessing
from hermes_stream.models.preprocess import Preprocessing, Scaling
from hermes_stream.video.frame import Frame

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}
MODES = ("bilinear", "bicubic", "lanczos")
BOUNDS = ((1, 10**9), (576, 576), (128 * 64, 768 * 64), (5000, 5001), (1, 300))
PATCHES = [
    PatchPreprocessing(
        patch_size=4,
        temporal_patch_size=2,
        merge_size=2,
        min_pixels=least,
        max_pixels=most,
        bounds=bounds,
        scaling=Scaling(mode=mode),
    )
    for mode in MODES
    for bounds in ("frame", "temporal_patch")
    for least, most in BOUNDS
]
FIXED = [
    Preprocessing(height=height, width=width, longest_side=longest, scaling=Scaling(mode=mode))
    for mode in MODES
    for height, width in ((24, 24), (20, 36))
    for longest in (None, 24, 64)
]
EXTREMES = ((1, 1), (1, 2), (1, 100_000), (100_000, 1), (16, 8192), (3, 600), (11, 2200), (7, 1401), (24, 24))


def image_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(PATCHES + FIXED),
    st.one_of(st.tuples(st.integers(1, 220), st.integers(1, 220)), st.sampled_from(EXTREMES)),
)
def test_shrinking_changes_nothing_that_is_prepared(preprocessing, size):
    image = image_of(*size)
    try:
        expected = preprocessing.pixels([image], **CPU)
    except ValueError:
        with pytest.raises(ValueError, match=r"frame"):
            preprocessing.shrink(image, size)
        return
    shrunk = preprocessing.shrink(image, size)
    assert shrunk.nbytes <= image.nbytes
    assert shrunk.dtype == np.uint8
    assert (shrunk is image) == (shrunk.nbytes == image.nbytes)
    prepared = preprocessing.pixels([shrunk], [size], **CPU)
    assert prepared.grid == expected.grid
    assert torch.equal(prepared.values, expected.values)
    assert preprocessing.shrink(shrunk, size) is shrunk


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    return load_model(FAMILIES[request.param].save(tmp_path_factory.mktemp(request.param)), device="cpu")


@pytest.mark.parametrize("size", [(24, 24), (96, 54), (1080, 1920), (300, 40), (8, 8), (1, 1), (3, 30)])
def test_every_family_shrinks(model, size):
    frames = [Frame(pts_seconds=k, image=image_of(*size, seed=k)) for k in range(3)]
    shrunk = [model.shrink(frame) for frame in frames]
    for frame, small in zip(frames, shrunk, strict=True):
        assert (small.pts_seconds, small.size) == (frame.pts_seconds, size)
        assert model.num_tokens(*small.size) == model.num_tokens(*size)
        assert small.image.nbytes <= frame.image.nbytes
        assert model.shrink(small) is small
    expected = model.prepare(frames)
    mixed = [frames[0], *shrunk[1:]]
    for ours in (shrunk, mixed):
        assert torch.equal(model.prepare(ours).values, expected.values)
        assert model.prepare(ours).grid == expected.grid
    visual = visual_tokens(model, shrunk, start_seconds=0.0, num_patches_before=0)
    patches = -(-3 // model.card.frames_per_temporal_patch)
    assert len(visual) <= patches * model.num_tokens(*size) <= patches * model.card.tokens_per_temporal_patch


def test_a_large_picture_takes_no_more_than_the_model_sees(model):
    frame = Frame(pts_seconds=1.0, image=np.zeros((2000, 2000, 3), np.uint8), duration_seconds=0.5)
    small = model.shrink(frame)
    assert small.image.nbytes < 5000
    assert small.image.base is None or small.image.base.nbytes < 5000
    assert replace(small, image=frame.image, source_size=None) == frame


@pytest.mark.parametrize("size", EXTREMES)
def test_a_size_is_refused_before_anything_is_prepared(model, size):
    frame = Frame(pts_seconds=0.0, image=np.zeros((*size, 3), np.uint8))
    try:
        count = model.num_tokens(*size)
    except ValueError:
        for refusing in (lambda: model.num_tokens(*size), lambda: model.prepare([frame])):
            with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels"):
                refusing()
        with pytest.raises(ValueError, match="pixels"):
            model.shrink(frame)
        return
    visual = visual_tokens(model, [model.shrink(frame)], start_seconds=0.0, num_patches_before=1)
    assert 0 < len(visual) <= count <= model.card.tokens_per_temporal_patch
