"""What can be loaded: the embedded checkpoints, the published sizes of every family, the local hub cache.

Nothing here imports torch, so that a list is instant: what is the same on every machine is stored, and of a
cached checkpoint its config.json is read as it stands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hermes_stream.cli.stored_lists import MODELS_FILE, read_list
from hermes_stream.plugins import Registry

_SETTINGS_FILE = "config.json"
_MAX_CHARACTERS = 10_000_000
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
    """List what can be loaded.

    Args:
        cache_folder: the hub cache to look into; None takes the user's own.
    """
    known = [CatalogueEntry(**entry) for entry in read_list(MODELS_FILE)["models"]]
    return [*known, *_cached(cache_folder, known)]


def _cached(cache_folder: Path | None, known: list[CatalogueEntry]) -> Iterator[CatalogueEntry]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(cache_folder or constants.HF_HUB_CACHE).repos
    except (CacheNotFound, ValueError):
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        for revision in sorted(repo.revisions, key=lambda revision: revision.commit_hash):
            path = Path(revision.snapshot_path) / _SETTINGS_FILE
            if repo.repo_type != "model" or not path.is_file():
                continue
            branches = f" ({', '.join(sorted(revision.refs))})" if revision.refs else ""
            yield replace(
                _read_entry(path, repo.repo_id, known),
                revision=f"{revision.commit_hash[:12]}{branches}",
                stored_bytes=revision.size_on_disk,
            )


def _read_entry(path: Path, name: str, known: list[CatalogueEntry]) -> CatalogueEntry:
    """Return what a config.json says of its model, and what it leaves out as far as its name is published."""
    settings = _read_json(path)
    family = _text(settings, "model_type")
    siblings = [entry for entry in known if (entry.source, entry.model_type) == ("family", family)]
    entry = CatalogueEntry(source="cache", name=name, model_type=family, supported=bool(siblings))
    if not siblings:
        return replace(entry, supported=family in Registry("hermes_stream.models", {}))
    published = next((one for one in siblings if one.name == name), entry)
    section = settings.get("text_config")
    text = section if isinstance(section, dict) else settings
    positions = _count(text, "max_position_embeddings") or published.max_positions
    budget = _count(settings, "memory_budget_tokens") or read_list(MODELS_FILE)["default_budget_tokens"]
    return replace(
        entry,
        kv_bytes_per_token=_kv_bytes(text) or published.kv_bytes_per_token,
        max_positions=positions,
        default_fps=_number(settings, "training_fps") or siblings[0].default_fps,
        default_budget_tokens=positions and min(budget, positions // 2),
        tokens_per_temporal_patch=_count(settings, "tokens_per_temporal_patch")
        or published.tokens_per_temporal_patch,
        knows=_text(settings, "knows"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Return an object of a JSON file; nothing where it holds none, for a list refuses no checkpoint."""
    try:
        with path.open(encoding="utf-8") as file:
            document = json.loads(file.read(_MAX_CHARACTERS))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _kv_bytes(text: Mapping[str, Any]) -> int | None:
    num_layers, num_heads = _count(text, "num_hidden_layers"), _count(text, "num_attention_heads")
    num_kv_heads = _count(text, "num_key_value_heads") or num_heads
    head_dim = _count(text, "head_dim") or (_count(text, "hidden_size") or 0) // (num_heads or 1)
    return 2 * _HALF_BYTES * num_layers * num_kv_heads * head_dim if num_layers and num_kv_heads else None


def _count(section: Mapping[str, Any], name: str) -> int | None:
    value = section.get(name)
    return value if type(value) is int and value > 0 else None


def _number(settings: Mapping[str, Any], name: str) -> float | None:
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value < math.inf else None


def _text(settings: Mapping[str, Any], name: str) -> str | None:
    value = settings.get(name)
    return value.encode(errors="replace").decode() if isinstance(value, str) else None
