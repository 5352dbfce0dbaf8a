"""Which model a memory belongs to: the same wherever it lies, another one with any other weight."""

from __future__ import annotations

import shutil

import torch
from safetensors.torch import load_file, save_file
from tests.checkpoints import save_random_checkpoint

from hermes_stream import load_model


def test_the_same_checkpoint_elsewhere_is_the_same(model, checkpoint_folder, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "snapshots" / commit
    shutil.copytree(checkpoint_folder, folder)
    other = load_model(folder)
    assert other.identity.is_same_as(model.identity)
    assert (other.identity.revision, model.identity.revision) == (commit, None)
    assert other.card.revision == commit


def test_other_weights_dtypes_and_layers_are_others(model, checkpoint_folder, tmp_path):
    folder = tmp_path / "trained"
    shutil.copytree(checkpoint_folder, folder)
    weights = {name: weight * 1.001 for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    trained = load_model(folder)
    assert trained.identity.weights_sha256 != model.identity.weights_sha256
    assert trained.identity.config_sha256 == model.identity.config_sha256
    half = load_model(checkpoint_folder, dtype=torch.bfloat16)
    fewer = load_model(save_random_checkpoint(tmp_path / "fewer", num_layers=9))
    assert not half.identity.is_same_as(model.identity)
    assert not fewer.identity.is_same_as(model.identity)


def test_weights_of_8_bits_have_an_identity(checkpoint_folder, model):
    quantised = load_model(checkpoint_folder, weights="int8", dtype="float32")
    assert not quantised.identity.is_same_as(model.identity)
    assert quantised.identity.is_same_as(
        load_model(checkpoint_folder, weights="int8", dtype="float32").identity
    )
