"""What fits is decided from numbers alone."""

from __future__ import annotations

import logging

import pytest
import torch

from hermes_lab.training.shapes import SHAPES, build_config
from hermes_stream import DeviceError
from hermes_stream.models.loading.footprint import Footprint, check_fits, measure_footprint

FOOTPRINT = Footprint(weight_bytes=16_000_000_000, bytes_per_token=86_016, budget_tokens=4000)


def check(free_bytes: int | None) -> None:
    check_fits(FOOTPRINT, free_bytes, name="some/model", device="cuda:0")


def test_what_cannot_fit_is_refused_with_numbers_and_advice():
    with pytest.raises(DeviceError) as refused:
        check(8_000_000_000)
    for words in (
        "some/model",
        "16 GB of weights",
        "0.344 GB for one stream",
        "4000 tokens",
        "cuda:0 has 8 GB free",
    ):
        assert words in str(refused.value)
    for advice in ("smaller dtype", "quantised", "device_map"):
        assert advice in str(refused.value)


def test_what_fits_barely_is_a_warning(caplog):
    for free_bytes in (FOOTPRINT.total_bytes, int(FOOTPRINT.total_bytes / 0.91)):
        with caplog.at_level(logging.WARNING):
            check(free_bytes)
        assert "fits barely" in caplog.text
        caplog.clear()


def test_what_fits_is_silent(caplog):
    with caplog.at_level(logging.WARNING):
        check(24_000_000_000)
        check(int(FOOTPRINT.total_bytes / 0.89))  # the last tenth of what is free is kept
        check(None)
    assert caplog.text == ""


def test_a_footprint_counts_each_key_twice_and_the_value():
    shape = SHAPES["llava-onevision-7b"]
    footprint = measure_footprint(build_config(shape), weight_bytes=1, dtype=torch.float16)
    assert footprint.bytes_per_token == shape.kv_bytes_per_token * 3 // 2
    assert footprint.budget_tokens == 4000
    assert footprint.total_bytes == 1 + footprint.cache_bytes


def test_a_footprint_is_what_a_loaded_model_takes(model):
    footprint = measure_footprint(model._model.config, weight_bytes=0, dtype=model.layout.dtype)
    assert footprint.bytes_per_token == model.layout.bytes_per_token
    assert footprint.budget_tokens == model.card.default_budget_tokens
