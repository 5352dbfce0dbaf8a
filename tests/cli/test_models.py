from __future__ import annotations

import json

import pytest
from tests.commands import KNOWS

from hermes_lab.training.shapes import SHAPES
from hermes_stream import load_model
from hermes_stream.models import EMBEDDED, MODELS
from hermes_stream.models.loading.load import embedded_folder


def listed(run, source):
    assert run.code == 0
    return [entry for entry in run.document["models"] if entry["source"] == source]


def test_embedded_checkpoints_are_listed_with_what_they_say_of_themselves(hermes):
    entries = {entry["name"]: entry for entry in listed(hermes("models", "--json"), "embedded")}
    assert set(entries) == set(EMBEDDED)
    card, layout = (model := load_model("tiny")).card, model.layout
    tiny = entries["tiny"]
    assert tiny["model_type"] == card.family
    assert tiny["default_fps"] == card.default_fps
    assert tiny["default_budget_tokens"] == card.default_budget_tokens
    assert tiny["tokens_per_temporal_patch"] == card.tokens_per_temporal_patch
    assert tiny["max_positions"] == layout.max_positions
    assert tiny["kv_bytes_per_token"] * 3 / 2 == layout.bytes_per_token * 2 / layout.dtype.itemsize


def test_families_are_those_that_have_an_adapter(hermes):
    entries = listed(hermes("models", "--json"), "family")
    assert {entry["model_type"] for entry in entries} == set(MODELS)
    for entry in entries:
        shape = SHAPES[entry["size"]]
        assert entry["name"] == shape.hub_name
        assert entry["kv_bytes_per_token"] == shape.kv_bytes_per_token
        assert entry["num_parameters"] == shape.num_parameters


def test_for_people(hermes):
    run = hermes("models")
    assert (run.code, run.err) == (0, "")
    for words in (
        "tiny",
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        "56 KiB",
        "8.03 B",
        "in the local hub cache",
    ):
        assert words in run.out


def test_what_embedded_models_know_is_shown(hermes):
    entries = listed(hermes("models", "--json"), "embedded")
    assert {entry["knows"] for entry in entries} == {KNOWS}
    assert all(entry["knows"] is None for entry in listed(hermes("models", "--json"), "family"))
    assert f"tiny knows {KNOWS}, and nothing else" in hermes("models").out


@pytest.fixture
def cached(hermes, tmp_path, monkeypatch):
    """List a hub cache that holds one checkpoint, of a config.json."""

    def run(name: str, config: str):
        folder = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / "0123456789abcdef"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        (entry,) = listed(hermes("models", "--json"), "cache")
        return entry

    return run


def test_a_cached_checkpoint_is_listed_with_what_its_config_says(cached, hermes, monkeypatch):
    entry = cached("some/tiny", (embedded_folder("tiny") / "config.json").read_text())
    (tiny,) = (one for one in listed(hermes("models", "--json"), "embedded") if one["name"] == "tiny")
    assert entry["revision"] == "0123456789ab"
    assert entry["stored_bytes"] > 0
    own = ("source", "name", "revision", "stored_bytes", "num_parameters")
    assert {key: entry[key] for key in entry if key not in own} == {
        key: tiny[key] for key in tiny if key not in own
    }
    monkeypatch.setenv("COLUMNS", "60")
    assert "some/tiny" in hermes("models").out


def test_what_a_published_config_leaves_out_is_known_by_its_name(cached):
    config = {"model_type": "llava_onevision", "text_config": {"num_hidden_layers": 28}}
    entry = cached("llava-hf/llava-onevision-qwen2-7b-ov-hf", json.dumps(config))
    shape = SHAPES["llava-onevision-7b"]
    assert entry["kv_bytes_per_token"] == shape.kv_bytes_per_token
    assert entry["max_positions"] == shape.text.max_position_embeddings
    assert entry["default_budget_tokens"] == 4000


def test_a_stranger_says_no_more_than_its_config(cached):
    entry = cached("some/finetune", json.dumps({"model_type": "qwen2_vl"}))
    assert (entry["supported"], entry["kv_bytes_per_token"], entry["max_positions"]) == (True, None, None)
    assert entry["default_fps"] == MODELS["qwen2_vl"].default_fps


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[]",
        "{",
        '{"model_type": 5}',
        '{"model_type": "bert"}',
        "[" * 100_000,
        '{"model_type": "\\ud800"}',
    ],
)
def test_a_config_that_means_nothing_is_listed_as_not_supported(config, cached):
    entry = cached("some/thing", config)
    assert (entry["supported"], entry["kv_bytes_per_token"]) == (False, None)


@pytest.mark.parametrize("value", ['"x"', "-1", "true", "NaN", "1e999", "[1]", "null", "0"])
def test_numbers_that_mean_nothing_are_left_out(value, cached):
    settings = (
        "training_fps",
        "memory_budget_tokens",
        "max_position_embeddings",
        "num_hidden_layers",
        "knows",
    )
    text = ", ".join(f'"{name}": {value}' for name in settings)
    entry = cached("some/thing", f'{{"model_type": "smolvlm", {text}}}')
    assert (entry["kv_bytes_per_token"], entry["max_positions"]) == (None, None)
    assert entry["default_fps"] == 1
