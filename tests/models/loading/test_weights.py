"""Weight files are known, and found broken, from their headers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from hermes_stream import ModelError
from hermes_stream.models.loading.weight_files import read_header, read_weight_files

TENSORS = {
    "a": torch.zeros(3, 5, dtype=torch.float32),
    "b": torch.zeros(7, dtype=torch.bfloat16),
    "c": torch.zeros(11, dtype=torch.int8),
}


@pytest.fixture
def folder(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    return tmp_path


def shard(folder, **names):
    (folder / "model.safetensors").unlink(missing_ok=True)
    for tensor, name in names.items():
        save_file({tensor: TENSORS[tensor]}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def test_bytes_follow_from_the_header(folder):
    weights = read_weight_files(folder)
    assert weights.stored_bytes == 3 * 5 * 4 + 7 * 2 + 11
    assert weights.loaded_bytes(None) == weights.stored_bytes
    assert weights.loaded_bytes(2) == (3 * 5 + 7) * 2 + 11
    assert weights.num_floating == 22


def test_shards_count_together(folder):
    whole = read_weight_files(folder)
    shard(folder, a="one.safetensors", b="one-b.safetensors", c="two.safetensors")
    shards = read_weight_files(folder)
    assert len(shards.paths) == 3
    assert shards.stored_bytes == whole.stored_bytes


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (0, "does not begin as one"),
        (5, "does not begin"),
        (30, "its header alone"),
        (-1, "truncated"),
        (-50, "truncated"),
    ],
)
def test_a_truncated_file_is_named_with_its_numbers(folder, length, reason):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ModelError, match=rf"model\.safetensors is no whole safetensors file: .*{reason}"):
        read_weight_files(folder)


@pytest.mark.parametrize(
    "content", [b"{" * 100, b"\x02" + b"\0" * 7 + b"[]", b"\x09" + b"\0" * 7 + b'{"a": {}}']
)
def test_what_is_no_safetensors_file(folder, content):
    file = folder / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="no whole safetensors file"):
        read_header(file)


def test_a_file_that_is_too_long(folder):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="too long"):
        read_weight_files(folder)


def test_missing_and_foreign_shards(folder):
    shard(folder, a="one.safetensors", b="two.safetensors")
    (folder / "two.safetensors").unlink()
    with pytest.raises(ModelError, match=r"1 of the 2 weight files .*two\.safetensors"):
        read_weight_files(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(ModelError, match="must lie beside it"):
        read_weight_files(folder)
    for broken in ("{", "[]", "{}", '{"weight_map": 3}'):
        index.write_text(broken)
        with pytest.raises(ModelError, match="no index of safetensors files"):
            read_weight_files(folder)
    index.write_text('{"weight_map": {}}')
    with pytest.raises(ModelError, match="0 of the 0"):
        read_weight_files(folder)


def test_no_weights_and_pickled_weights(tmp_path):
    with pytest.raises(ModelError, match="no weights in"):
        read_weight_files(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model\.bin\)"):
        read_weight_files(tmp_path)
