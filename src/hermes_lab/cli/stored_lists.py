"""Write what the product's commands print without torch: ``python -m hermes_lab.cli.stored_lists``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hermes_lab.training.shapes import SHAPES, ModelShape
from hermes_stream.cli.catalogue import CatalogueEntry
from hermes_stream.cli.opening import load, open_session
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.stored_lists import (
    FOLDER,
    MODELS_FILE,
    POLICIES_FILE,
    STREAM_FILE,
    describe_fields,
    describe_policy,
)
from hermes_stream.cli.stream_needs import measure
from hermes_stream.filters import FILTERS
from hermes_stream.models.card import (
    DEFAULT_BUDGET_TOKENS,
    config_settings,
    read_budget_tokens,
    read_fps,
    read_knows,
)
from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.config_files import read_config
from hermes_stream.models.loading.footprint import kv_values_per_token
from hermes_stream.models.loading.load import EMBEDDED, embedded_folder
from hermes_stream.models.loading.weight_files import read_weight_files
from hermes_stream.policies import POLICIES

_HALF_BYTES = 2  # bytes of a number of 16 bits, in which caches are compared


def describe_policies() -> dict[str, Any]:
    """Return the list of the package's policies and filters, and the details of each."""
    return {
        "policies": [{"name": name, **describe_policy(make)} for name, make in POLICIES.own.items()],
        "filters": [{"name": name, **asdict(make().facts)} for name, make in FILTERS.items()],
        "details": {name: describe_fields(make()) for name, make in {**POLICIES.own, **FILTERS}.items()},
    }


def describe_models() -> dict[str, Any]:
    """Return the embedded checkpoints and the published sizes of the package's families."""
    entries = [
        *(_embedded(name) for name in EMBEDDED),
        *(_published(one) for family in MODELS.own for one in SHAPES.values() if one.model_type == family),
    ]
    return {"default_budget_tokens": DEFAULT_BUDGET_TOKENS, "models": list(map(asdict, entries))}


def describe_stream() -> dict[str, Any]:
    """Return what a stream of the default model and policy takes of the processor."""
    session = open_session(MemoryOptions(), load(ModelOptions(device="cpu")))
    return asdict(measure(session))


LISTS: dict[str, Callable[[], dict[str, Any]]] = {
    POLICIES_FILE: describe_policies,
    MODELS_FILE: describe_models,
    STREAM_FILE: describe_stream,
}


def _embedded(name: str) -> CatalogueEntry:
    folder = embedded_folder(name)
    weights, settings = read_weight_files(folder), read_config(folder, name)
    return CatalogueEntry(
        source="embedded",
        name=name,
        model_type=settings.model_type,
        supported=True,
        num_parameters=weights.num_floating,
        kv_bytes_per_token=kv_values_per_token(settings) * _HALF_BYTES,
        max_positions=settings.get_text_config().max_position_embeddings,
        default_fps=read_fps(settings, MODELS[settings.model_type].default_fps),
        default_budget_tokens=read_budget_tokens(settings),
        tokens_per_temporal_patch=config_settings(settings).integer("tokens_per_temporal_patch", None),
        stored_bytes=sum(path.stat().st_size for path in weights.paths),
        knows=read_knows(settings),
    )


def _published(shape: ModelShape) -> CatalogueEntry:
    max_positions = shape.text.max_position_embeddings
    return CatalogueEntry(
        source="family",
        name=shape.hub_name,
        size=shape.name,
        model_type=shape.model_type,
        supported=True,
        num_parameters=shape.num_parameters,
        kv_bytes_per_token=shape.kv_bytes_per_token,
        max_positions=max_positions,
        default_fps=MODELS[shape.model_type].default_fps,
        default_budget_tokens=min(DEFAULT_BUDGET_TOKENS, max_positions // 2),
        tokens_per_temporal_patch=shape.tokens_per_temporal_patch,
    )


if __name__ == "__main__":
    for file, describe in LISTS.items():
        (FOLDER / file).write_text(json.dumps(describe(), indent=1) + "\n", encoding="utf-8")
