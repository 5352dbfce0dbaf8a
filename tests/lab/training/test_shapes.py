"""The table of published sizes agrees with the architectures that it describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.families import FAMILIES
from transformers import AutoModelForImageTextToText

from hermes_lab.training.shapes import SHAPES, build_config
from hermes_stream import load_model
from hermes_stream.cli.catalogue import list_models
from hermes_stream.models import MODELS
from hermes_stream.models.loading.footprint import kv_values_per_token


@pytest.mark.parametrize("name", SHAPES)
def test_a_size_is_what_its_architecture_counts(name):
    shape = SHAPES[name]
    config = build_config(shape)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) == shape.num_parameters
    assert 2 * kv_values_per_token(config) == shape.kv_bytes_per_token
    assert config.model_type == shape.model_type
    assert config.get_text_config().max_position_embeddings == shape.text.max_position_embeddings


@pytest.mark.parametrize(
    ("name", "kibibytes"),
    [
        ("llava-onevision-0.5b", 12),
        ("llava-onevision-7b", 56),
        ("qwen2.5-vl-7b", 56),
        ("qwen3-vl-4b", 144),
        ("qwen3-vl-8b", 144),
        ("smolvlm2-256m", 22.5),
    ],
)
def test_bytes_of_keys_and_values(name, kibibytes):
    assert SHAPES[name].kv_bytes_per_token == kibibytes * 1024


@pytest.mark.parametrize("family", MODELS)
def test_the_page_of_models_has_a_row_for_every_family(family):
    entries = [entry for entry in list_models() if (entry.source, entry.model_type) == ("family", family)]
    sizes = ", ".join((entry.size or "").rpartition("-")[2] for entry in entries)
    kibibytes = ", ".join(f"{(entry.kv_bytes_per_token or 0) / 1024:g}" for entry in entries)
    tokens = ", ".join(
        dict.fromkeys(str(entry.tokens_per_temporal_patch or "by its size") for entry in entries)
    )
    rate = "" if entries[0].default_fps is None else f"{entries[0].default_fps:g}"
    (positions,) = {entry.max_positions for entry in entries}
    row = f"| `{family}` | {sizes} | {kibibytes} KiB | {tokens} | {rate} | {positions:,} |"
    assert row in (Path(__file__).parents[3] / "docs/models.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_listed_with_the_rate_of_its_adapter(family, tmp_path):
    folder = FAMILIES[family].save(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings.pop("training_fps", None)  # a checkpoint's own rate stands above its family's
    (folder / "config.json").write_text(json.dumps(settings))
    model = load_model(folder, device="cpu")
    listed = [
        entry for entry in list_models() if (entry.source, entry.model_type) == ("family", model.card.family)
    ]
    assert {entry.default_fps for entry in listed} == {model.card.default_fps}
