"""What can be loaded: the embedded checkpoints, the published sizes of every family, the local hub cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from hermes_stream.errors import ModelError
from hermes_stream.models.card import (
    DEFAULT_BUDGET_TOKENS,
    config_settings,
    read_budget_tokens,
    read_fps,
    read_knows,
)
from hermes_stream.models.families import MODELS
from hermes_stream.models.loading.config_files import CONFIG_FILE, read_config, read_family
from hermes_stream.models.loading.footprint import kv_values_per_token
from hermes_stream.models.loading.load import EMBEDDED, embedded_folder
from hermes_stream.models.loading.shapes import SHAPES, ModelShape
from hermes_stream.models.loading.weight_files import read_weight_files

_HALF_BYTES = 2  # bytes of a number of 16 bits, in which caches are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One model that may be loaded; numbers that are not known before loading are None.

    Attributes:
        source: "embedded" in the package, a published size of a "family", or in the local hub "cache".
        name: what ``load_model`` takes.
        size: name of the published size, such as ``llava-onevision-7b``.
        model_type: the family, as transformers calls it.
        supported: whether the family has an adapter.
        num_parameters: numbers of all weights.
        kv_bytes_per_token: keys and values of one token over all layers, at 16 bits a number.
        max_positions: positions that it was made for.
        default_fps: frames per second that it is used with.
        default_budget_tokens: visual tokens that each layer keeps when no other budget is asked for.
        tokens_per_temporal_patch: visual tokens of a temporal patch, without its text; None for a family
            whose frames keep their size.
        revision: commits in the cache, and the branches that they are known by.
        stored_bytes: on disk.
        knows: the only thing that it understands; None for general models.
    """

    source: Literal["embedded", "family", "cache"]
    name: str
    model_type: str | None
    supported: bool
    size: str | None = None
    num_parameters: int | None = None
    kv_bytes_per_token: int | None = None
    max_positions: int | None = None
    default_fps: float | None = None
    default_budget_tokens: int | None = None
    tokens_per_temporal_patch: int | None = None
    revision: str | None = None
    stored_bytes: int | None = None
    knows: str | None = None


def list_models(cache_folder: Path | None = None) -> list[CatalogueEntry]:
    """List what can be loaded; families are those of ``MODELS``.

    Args:
        cache_folder: the hub cache to look into; None takes the user's own.
    """
    return [*list_known(), *list_cached(cache_folder)]


def list_known() -> list[CatalogueEntry]:
    """List what is the same on every machine: embedded checkpoints, published sizes of the families."""
    return [
        *(_embedded(name) for name in EMBEDDED),
        *(_published(shape) for family in MODELS for shape in SHAPES.values() if shape.model_type == family),
    ]


def list_cached(cache_folder: Path | None = None) -> list[CatalogueEntry]:
    """List the checkpoints of a hub cache.

    Args:
        cache_folder: the cache; None takes the user's own.
    """
    return list(_cached(cache_folder))


def _embedded(name: str) -> CatalogueEntry:
    folder = embedded_folder(name)
    weights = read_weight_files(folder)
    return CatalogueEntry(
        source="embedded",
        name=name,
        supported=True,
        num_parameters=weights.num_floating,
        stored_bytes=sum(path.stat().st_size for path in weights.paths),
        **_numbers(read_config(folder, name)),
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


def _cached(cache_folder: Path | None) -> Iterator[CatalogueEntry]:
    try:
        repos = scan_cache_dir(cache_folder).repos
    except (CacheNotFound, ValueError):
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        for revision in sorted(repo.revisions, key=lambda revision: revision.commit_hash):
            folder = Path(revision.snapshot_path)
            if repo.repo_type != "model" or not (folder / CONFIG_FILE).is_file():
                continue
            branches = f" ({', '.join(sorted(revision.refs))})" if revision.refs else ""
            yield CatalogueEntry(
                source="cache",
                name=repo.repo_id,
                revision=f"{revision.commit_hash[:12]}{branches}",
                stored_bytes=revision.size_on_disk,
                **_numbers_of_folder(folder, repo.repo_id),
            )


def _numbers_of_folder(folder: Path, name: str) -> dict[str, Any]:
    """Return a cached checkpoint's numbers, as far as it is supported and whole."""
    model_type = None
    try:
        model_type = read_family(folder, name)
        if model_type in MODELS:
            return _numbers(read_config(folder, name)) | {"supported": True}
    except ModelError:
        pass
    return {"model_type": model_type, "supported": False}


def _numbers(config: Any) -> dict[str, Any]:
    return {
        "model_type": config.model_type,
        "kv_bytes_per_token": kv_values_per_token(config) * _HALF_BYTES,
        "max_positions": config.get_text_config().max_position_embeddings,
        "default_fps": read_fps(config, MODELS[config.model_type].default_fps),
        "default_budget_tokens": read_budget_tokens(config),
        "tokens_per_temporal_patch": config_settings(config).integer("tokens_per_temporal_patch", None),
        "knows": read_knows(config),
    }
