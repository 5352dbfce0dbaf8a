"""A damaged checkpoint is refused in words, whatever is wrong with it; it never answers nonsense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.families import FAMILIES

from hermes_stream import ModelError, load_model


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory):
    return FAMILIES["qwen2_5_vl"].save(tmp_path_factory.mktemp("qwen") / "checkpoint")


@pytest.fixture
def copy(checkpoint_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint_folder, tmp_path / "copy"))


@pytest.fixture
def qwen(qwen_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(qwen_folder, tmp_path / "qwen"))


def edit(path: Path, *where: str, **changes: object) -> None:
    settings = json.loads(path.read_text())
    holder = settings
    for name in where:
        holder = holder[name]
    holder.update(changes)
    path.write_text(json.dumps(settings))


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    path = folder / "model.safetensors"
    changed = {name: it for name, it in (load_file(path) | tensors).items() if it is not None}
    save_file(changed, path, metadata={"format": "pt"})


def first(folder: Path, part: str) -> tuple[str, torch.Tensor]:
    return next((name, it) for name, it in load_file(folder / "model.safetensors").items() if part in name)


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load_model(folder, device="cpu")


@pytest.mark.parametrize("section", ["text_config", "vision_config"])
def test_fewer_layers_than_the_weights_hold(copy, section):
    layers = json.loads((copy / "config.json").read_text())[section]["num_hidden_layers"]
    if layers > 1:
        edit(copy / "config.json", section, num_hidden_layers=layers - 1, layer_types=None)
        refused(copy, r"\d+ tensors are not in the architecture, the first is .*layers\.")
    edit(copy / "config.json", section, num_hidden_layers=0)
    refused(copy, r"num_hidden_layers in .*config\.json is 0; accepted: a whole number of at least 1")


def test_fewer_vision_layers(qwen):
    edit(qwen / "config.json", "vision_config", depth=2, fullatt_block_indexes=[1])
    refused(qwen, r"tensors are not in the architecture, the first is .*blocks\.2\.")
    edit(qwen / "config.json", "vision_config", depth=0)
    refused(qwen, "depth in .* is 0")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("part", ["q_proj.weight", "embed_tokens", "vision_tower", "image_newline"])
def test_weights_that_are_no_numbers(copy, part, number):
    name, tensor = first(copy, part)
    tensor.view(-1)[0] = number
    change(copy, **{name: tensor})
    refused(copy, r"1 tensors hold NaN, infinite numbers or numbers beyond 1e\+06, the first is .*")


def test_weights_as_whole_numbers(copy):
    name, tensor = first(copy, "q_proj.weight")
    change(copy, **{name: (tensor * 100).to(torch.int8)})
    refused(copy, r"1 weights .* stored as whole numbers or in 8 bits, the first is .*q_proj")


def test_tensors_that_nothing_reads(copy):
    spare = {"language_model.model.rotary_emb.inv_freq": torch.ones(8), "a.position_ids": torch.arange(5)}
    change(copy, **spare)
    load_model(copy, device="cpu")
    change(copy, **{"adapter.lora_a.weight": torch.ones(8)})
    refused(copy, r"1 tensors are not in the architecture, the first is adapter\.lora_a\.weight")


@pytest.mark.parametrize(
    ("where", "setting", "accepted"),
    [
        (("text_config",), {"rms_norm_eps": 0}, "a number of at least 1e-12, at most 0.1"),
        (("text_config",), {"rms_norm_eps": 3}, "at most 0.1"),
        (("vision_config",), {"layer_norm_eps": -1e-6}, "at least 1e-12"),
        (("text_config", "rope_parameters"), {"rope_theta": 0}, "a number of at least 100, at most"),
        (("text_config", "rope_parameters"), {"rope_theta": -1e4}, "at least 100"),
        (("text_config", "rope_parameters"), {"rope_theta": 1e30}, "at most 1e"),
        (("text_config", "rope_parameters"), {"rope_theta": float("nan")}, "a number"),
        (("text_config", "rope_parameters"), {"rope_theta": "10"}, "a number"),
        (("text_config",), {"num_hidden_layers": 10**9}, "at most 1,000"),
        (("text_config",), {"num_attention_heads": [4]}, "a whole number"),
        (("text_config",), {"max_position_embeddings": 3}, "at least 16"),
        (("vision_config",), {"image_size": [24, 24, 24]}, "one side, or height and width"),
        (("vision_config",), {"patch_size": [4, 0]}, "a whole number of at least 1"),
        ((), {"tie_word_embeddings": "yes"}, "true, false"),
        ((), {"training_frames": True}, "a whole number"),
    ],
)
def test_settings_out_of_their_range(copy, where, setting, accepted):
    edit(copy / "config.json", *where, **setting)
    with pytest.raises(ModelError) as error:
        load_model(copy, device="cpu")
    name = next(iter(setting))
    message = str(error.value)
    assert "config.json is " in message
    assert accepted in message.partition("; accepted: ")[2]
    assert name in message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"image_std": [0, 0.5, 0.5]}, "accepted: a list of three numbers, each at least 0.001"),
        ({"image_std": [0.5, 0.5, -1]}, "each at least 0.001"),
        ({"image_mean": [1e30, 0, 0]}, "a list of three numbers"),
        ({"image_mean": [float("nan"), 0, 0]}, "a list of three numbers"),
        ({"rescale_factor": -1}, "a number above 0, at most 1"),
        ({"size": {"height": 10**6, "width": 5}}, "at most 4,096"),
        ({"do_rescale": "no"}, "true, false"),
        ({"resample": 9}, "lanczos"),
        ({"size": [24, 24]}, "a JSON object"),
    ],
)
def test_preprocessing_settings_name_their_file(copy, setting, message):
    edit(copy / "preprocessor_config.json", **setting)
    refused(copy, rf"in .*preprocessor_config\.json is .*{message}")


def test_a_vision_tower_of_another_size_than_the_pictures(copy):
    edit(copy / "preprocessor_config.json", size={"height": 96, "width": 96})
    refused(copy, "with the files of its folder")


def test_sections_of_rotary_frequencies_that_do_not_sum_up(qwen):
    for sections in ([1, 1, 1], [2, 3], ["a", 3, 3], 5, [-2, 6, 4]):
        edit(qwen / "config.json", "text_config", "rope_parameters", mrope_section=sections)
        refused(qwen, "mrope_section|sections|cannot use model|cannot read the config|cannot build")


@pytest.mark.parametrize("eos", [-1, "end", [[3]], 1.5, 10**6])
def test_tokens_that_end_an_answer(copy, eos):
    edit(copy / "generation_config.json", eos_token_id=eos)
    refused(copy, r"eos_token_id in .*generation_config\.json is|an answer ends with token 1000000|weights")


def test_a_tokenizer_of_another_checkpoint(copy):
    settings = json.loads((copy / "tokenizer.json").read_text())
    settings["model"]["vocab"]["zebra"] = 5000
    (copy / "tokenizer.json").write_text(json.dumps(settings))
    refused(copy, "its tokenizer knows token 5000, and the embeddings have")


def header_of(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


@pytest.mark.parametrize(
    "entry",
    [
        5,
        None,
        {},
        {"dtype": "F32"},
        {"dtype": "F32", "shape": [2], "data_offsets": [0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "ab", "data_offsets": [0, 8]},
        {"dtype": 5, "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]},
        {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
    ],
)
def test_a_header_that_makes_no_sense(copy, entry):
    path = copy / "model.safetensors"
    header, body = header_of(path)
    header[next(name for name in header if name != "__metadata__")] = entry
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + body)
    refused(copy, "is no whole safetensors file|cannot load the weights")


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"5", b'{"a": ', b"null"])
def test_a_file_of_noise(copy, name, content):
    (copy / name).write_bytes(content)
    refused(copy, ".")


def test_an_index_of_nonsense(copy):
    (copy / "model.safetensors").rename(copy / "model-1.safetensors")
    for files in ({"a": "\0"}, {"a": "config.json"}, {"a": ""}, {"a": 5}, {"a": "../x.safetensors"}, [], 5):
        (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
        refused(copy, "must lie beside it|no index of safetensors files|are missing")
