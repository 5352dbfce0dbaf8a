"""Weights of 8 bits, made while they are read; and numbers that a processor has to imitate."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from tests.checkpoints import random_frames
from tests.families import FAMILIES, pictures
from torch import nn

from hermes_stream import DeviceError, FullPolicy, ModelError, Session, load_model
from hermes_stream.models.loading import load as loading
from hermes_stream.models.loading import placement
from hermes_stream.models.loading.config_files import read_config
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.models.loading.quantisation import int8_bytes
from hermes_stream.models.loading.weights import build_empty

QUESTION = "what came before the red circle?"


def bytes_of(module: nn.Module) -> int:
    """Count what weights take; torchao's tensors tell of the numbers that they stand for."""
    named = [(weight, getattr(weight, "tensor_data_names", ["data"])) for weight in module.parameters()]
    return sum(getattr(weight, name).nbytes for weight, names in named for name in names)


def logits(model, chunk_frames: int = 4) -> torch.Tensor:
    session = Session(model, FullPolicy(), chunk_frames=chunk_frames)
    session.observe(random_frames(8))
    return session.next_token_logits(QUESTION)


@pytest.fixture(scope="module")
def small():
    return load_model("tiny", device="cpu", weights="int8")


def test_answers_stay_near_and_weights_shrink(small):
    whole = load_model("tiny", device="cpu")
    near, exact = logits(small), logits(whole)
    assert not torch.equal(near, exact)
    assert torch.cosine_similarity(near, exact, dim=0) > 0.99
    assert 3 * bytes_of(small.decoder.layers) < bytes_of(whole.decoder.layers)
    assert small.layout.dtype == whole.layout.dtype == torch.float32


def test_a_token_is_rounded_by_itself(small):
    layer = small.decoder.layers[0].mlp.up_proj
    tokens = torch.randn(50, layer.in_features, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(tokens)[7:8], layer(tokens[7:8]))


def test_chunks_change_logits_by_rounding_alone(small):
    two, eight = logits(small, chunk_frames=2), logits(small, chunk_frames=8)
    assert (two - eight).abs().max() < 0.1 * eight.std()  # 0.03 was measured
    assert two.argmax() == eight.argmax()


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_layers_of_every_family_but_the_head(family, tmp_path):
    folder = FAMILIES[family].save(tmp_path / "checkpoint")
    model = load_model(folder, device="cpu", weights="int8")
    assert type(model.decoder.layers[0].mlp.down_proj.weight).__name__ == "Int8Tensor"
    assert type(model.head.weight) is nn.Parameter
    session = Session(model, FullPolicy())
    session.observe(pictures(4))
    assert session.next_token_logits(QUESTION).isfinite().all()


def test_bytes_are_known_before_they_are_read(small):
    told = int8_bytes(build_empty("tiny", read_config(embedded_folder("tiny"), "tiny")), torch.float32)
    assert told == pytest.approx(bytes_of(small._model), rel=0.03)


def test_int8_is_taken_where_only_that_fits(monkeypatch):
    monkeypatch.setattr(loading, "free_bytes", lambda device: 4_000_000)
    monkeypatch.setattr(loading, "measure_footprint", lightened(loading.measure_footprint))
    with pytest.raises(DeviceError, match="does not fit"):
        load_model("tiny", device="cpu")
    assert load_model("tiny", device="cpu", weights="int8")


def lightened(measure):
    """Measure without a stream, so that weights alone decide."""

    def without_stream(config, *, weight_bytes, dtype):
        found = measure(config, weight_bytes=weight_bytes, dtype=dtype)
        return type(found)(weight_bytes=found.weight_bytes, bytes_per_token=0, budget_tokens=0)

    return without_stream


def test_without_torchao_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(placement, "is_installed", lambda package: package != "torchao")
    with pytest.raises(DeviceError, match=r"torchao.*pip install 'hermes-stream\[quantised\]'"):
        load_model("tiny", weights="int8")


def test_other_weights_are_refused():
    with pytest.raises(DeviceError, match="'int4' are not supported; choose one of: auto, int8"):
        load_model("tiny", weights="int4")


def test_quantised_weights_are_not_quantised_again(checkpoint_folder, tmp_path):
    for file in checkpoint_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    settings = json.loads((checkpoint_folder / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"quantised by 'bitsandbytes' already.*leave weights at 'auto'"):
        load_model(tmp_path, device="cpu", weights="int8")


@pytest.mark.parametrize("computes", [True, False, None])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_imitated_numbers_are_warned_of(computes, dtype, monkeypatch, caplog):
    monkeypatch.setattr(placement, "computes_bfloat16", lambda: computes)
    with caplog.at_level(logging.WARNING):
        load_model("tiny", device="cpu", dtype=dtype)
    warned = caplog.text.count("imitates")
    assert warned == (computes is False and dtype == "bfloat16")
    caplog.clear()
    load_model("tiny", device="cpu", dtype=dtype, weights="int8")
    assert "imitates" not in caplog.text


def test_what_a_processor_computes_is_read_from_torch(monkeypatch):
    for found, computes in (({"avx512_bf16": True}, True), ({"bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert placement.computes_bfloat16() is computes
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert placement.computes_bfloat16() is None
