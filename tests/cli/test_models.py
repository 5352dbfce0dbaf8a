from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from tests.commands import KNOWS

from hermes_stream import load_model
from hermes_stream.cli.models import hub_cache
from hermes_stream.models import EMBEDDED, MODELS
from hermes_stream.models.loading.load import embedded_folder
from hermes_stream.models.loading.shapes import SHAPES


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


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HF_HOME": "~/hub"},
        {"HF_HUB_CACHE": "$HOME/cache"},
        {"HUGGINGFACE_HUB_CACHE": "/old"},
        {"XDG_CACHE_HOME": "/xdg"},
    ],
)
def test_the_hub_cache_is_where_the_hub_keeps_it(environment, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert str(hub_cache()) == run.stdout.strip()


def test_what_embedded_models_know_is_shown(hermes):
    entries = listed(hermes("models", "--json"), "embedded")
    assert {entry["knows"] for entry in entries} == {KNOWS}
    assert all(entry["knows"] is None for entry in listed(hermes("models", "--json"), "family"))
    assert f"tiny knows {KNOWS}, and nothing else" in hermes("models").out


def test_a_cached_checkpoint_is_listed(hermes, tmp_path, monkeypatch):
    folder = tmp_path / "models--some--tiny" / "snapshots" / "0123456789abcdef"
    shutil.copytree(embedded_folder("tiny"), folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (entry,) = listed(hermes("models", "--json"), "cache")
    assert (entry["name"], entry["model_type"], entry["knows"]) == ("some/tiny", "llava_onevision", KNOWS)
    monkeypatch.setenv("COLUMNS", "60")
    assert "some/tiny" in hermes("models").out
