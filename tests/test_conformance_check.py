"""The conformance check itself: altered vectors must fail, other layouts written by the oracles must pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import oracles
from tests.test_conformance import SCORING_TENSORS, STORED, check_folder
from torch import Tensor

Vectors = tuple[dict[str, dict[str, Any]], dict[str, Tensor]]


def write_vectors(folder: Path, vectors: Vectors) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "vectors.json").write_text(json.dumps(vectors[0]))
    own = {key: tensor.clone(memory_format=torch.contiguous_format) for key, tensor in vectors[1].items()}
    save_file(own, folder / "vectors.safetensors")


@pytest.fixture(scope="module")
def stored() -> Vectors:
    return json.loads((STORED / "vectors.json").read_text()), load_file(STORED / "vectors.safetensors")


def first(vectors: Vectors, kind: str) -> str:
    return next(case for case in vectors[0] if case.startswith(kind))


def change_keep_of_scoring(vectors: Vectors) -> None:
    keep = vectors[1][f"{first(vectors, 'scoring')}.keep"]
    missing = set(range(int(keep.max()))) - set(keep[-1].tolist())
    keep[-1, -2] = missing.pop()


def change_keep_of_compaction(vectors: Vectors) -> None:
    keep = vectors[1][f"{first(vectors, 'compaction')}.keep"]
    keep[0, -1] = keep[0, -2] + 1 if keep[0, -1] != keep[0, -2] + 1 else keep[0, -1] + 1


def change_key(vectors: Vectors) -> None:
    vectors[1][f"{first(vectors, 'compaction')}.out_keys"][-1, 0, -1, 0] += 0.05


def change_value(vectors: Vectors) -> None:
    vectors[1][f"{first(vectors, 'compaction')}.out_values"][-1, 0, -1, 0] += 1e-3


def change_position(vectors: Vectors) -> None:
    vectors[1][f"{first(vectors, 'compaction')}.out_positions"][-1, ..., -1] += 1


def drop_tensor(vectors: Vectors) -> None:
    del vectors[1][f"{first(vectors, 'compaction')}.out_values"]


def drop_unused_tensor(vectors: Vectors) -> None:
    del vectors[1][f"{first(vectors, 'scoring')}.attention_local"]


def drop_parameter(vectors: Vectors) -> None:
    del vectors[0][first(vectors, "compaction")]["theta"]


def change_lengths(vectors: Vectors) -> None:
    vectors[0][first(vectors, "scoring")]["lengths"][0] += 1


def change_budget(vectors: Vectors) -> None:
    vectors[0][first(vectors, "scoring")]["budget"] -= 1


def drop_case(vectors: Vectors) -> None:
    del vectors[0][first(vectors, "compaction")]


def add_unknown_kind(vectors: Vectors) -> None:
    vectors[0]["rotation.llava_onevision.0"] = {}


def add_unknown_backend(vectors: Vectors) -> None:
    case = first(vectors, "scoring")
    vectors[0]["scoring.other.0"] = vectors[0][case]
    vectors[1].update({f"scoring.other.0.{name}": vectors[1][f"{case}.{name}"] for name in SCORING_TENSORS})


def remove_all_cases(vectors: Vectors) -> None:
    vectors[0].clear()
    vectors[1].clear()


ALTERATIONS = [
    change_keep_of_scoring,
    change_keep_of_compaction,
    change_key,
    change_value,
    change_position,
    drop_tensor,
    drop_unused_tensor,
    drop_parameter,
    change_lengths,
    change_budget,
    drop_case,
    add_unknown_kind,
    add_unknown_backend,
    remove_all_cases,
]


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda alter: alter.__name__)
def test_altered_vectors_fail(alter: Callable[[Vectors], None], stored: Vectors, tmp_path: Path) -> None:
    altered = json.loads(json.dumps(stored[0])), {key: tensor.clone() for key, tensor in stored[1].items()}
    alter(altered)
    write_vectors(tmp_path, altered)
    with pytest.raises(AssertionError):
        check_folder(tmp_path)


def test_a_folder_without_files_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path)
    shutil.copy(STORED / "vectors.json", tmp_path)
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path)


def oracle_scoring(num_layers: int, num_tokens: int, budget: int, prefix: int) -> Vectors:
    """One scoring case of the Qwen back end, in plain loops."""
    generator = torch.Generator().manual_seed(num_layers)
    attention = {
        name: torch.rand(num_layers, num_tokens, generator=generator) for name in SCORING_TENSORS[:3]
    }
    raw = []
    for layer, tier in enumerate(oracles.tier_names(num_layers)):
        source = attention["attention_global" if tier == "long_term" else "attention_mixed"]
        decay = {"sensory": 20.0, "long_term": 0.0}.get(tier)
        weight = {"sensory": 1.0, "long_term": 0.0}.get(tier)
        if tier == "working":
            decay = oracles.working_value(layer, num_layers, 20.0, 8.0)
            weight = oracles.working_value(layer, num_layers, 0.75, 0.15)
        raw.append(oracles.importance(source[layer].double().tolist(), decay, weight))
    strength = [{"sensory": 0.1, "working": 0.3, "long_term": 0.4}[t] for t in oracles.tier_names(num_layers)]
    ids = [list(range(num_tokens))] * num_layers
    scores = oracles.smooth(raw, ids, strength, "index", True)
    none = [False] * num_tokens
    rows = []
    for layer, tier in enumerate(oracles.tier_names(num_layers)):
        kept = oracles.select(scores[layer], budget - (tier == "long_term"), none)
        rows.append([*range(prefix), *(prefix + index for index in kept)])
    width = max(map(len, rows))
    keep = torch.tensor([row + [-1] * (width - len(row)) for row in rows])
    case = "scoring.qwen2_5_vl.other"
    parameters = {
        "num_layers": num_layers,
        "prefix": prefix,
        "visual_tokens": num_tokens,
        "budget": budget,
        "lengths": [len(row) for row in rows],
    }
    return {case: parameters}, {f"{case}.{name}": t for name, t in (attention | {"keep": keep}).items()}


def oracle_compaction(sections: list[int] | None, *, reindexed: bool, kv_heads: int, prefix: int) -> Vectors:
    """One compaction case of three layers and small heads, in plain loops."""
    axes, num_tokens, head_dim, theta = (3 if sections else 1), prefix + 6, 16, 10000.0
    layers, first_long_term = 3, 2
    generator = torch.Generator().manual_seed(prefix)
    raw, values = torch.randn(2, layers, kv_heads, num_tokens, head_dim, generator=generator)
    positions = torch.arange(num_tokens).expand(layers, axes, -1).clone()
    positions[..., prefix:] = 50 + torch.randint(0, 4, (layers, axes, 6), generator=generator)
    keep = [[*range(prefix), *(prefix + i for i in kept)] for kept in ([0, 2, 3], [1, 2, 5], [0, 4])]
    axis_of = [a for a, n in enumerate(sections or [head_dim // 2]) for _ in range(n)]

    def rotated(vector: list[float], position: list[int]) -> list[float]:
        angles = [position[a] * theta ** (-2 * f / head_dim) for f, a in enumerate(axis_of)]
        return oracles.rotate(vector, angles)

    out: dict[str, list[Any]] = {"out_keys": [], "out_values": [], "out_positions": []}
    for layer, kept in enumerate(keep):
        new = positions[layer][:, kept].tolist()
        if reindexed:
            new = [axis[:prefix] + oracles.dense(axis[prefix:], prefix) for axis in new]
        gone = [i for i in range(num_tokens) if i not in kept]
        rows = {"out_keys": raw[layer], "out_values": values[layer]}
        picked = {name: [[head[i].tolist() for i in kept] for head in x] for name, x in rows.items()}
        if layer >= first_long_term:
            new = [[*axis, max(map(max, new)) + 1] for axis in new]
            for name, x in rows.items():
                for head, into in zip(x, picked[name], strict=True):
                    into.append(oracles.mean_of(head[gone].tolist(), [1.0] * len(gone)))
        at = list(zip(*new, strict=True))
        out["out_keys"].append(
            [[rotated(v, p) for v, p in zip(head, at, strict=True)] for head in picked["out_keys"]]
        )
        out["out_values"].append(picked["out_values"])
        out["out_positions"].append(new)
    keys = [
        [[rotated(v, positions[layer, :, i].tolist()) for i, v in enumerate(head.tolist())] for head in heads]
        for layer, heads in enumerate(raw)
    ]
    tensors = {name: torch.tensor(rows) for name, rows in out.items()} | {"keys": torch.tensor(keys)}
    tensors |= {"values": values, "positions": positions}
    tensors["keep"] = torch.tensor([row + [-1] * (prefix + 3 - len(row)) for row in keep])
    if sections is None:
        tensors |= {name: tensors[name][:, 0] for name in ("positions", "out_positions")}
    case = "compaction.qwen2_5_vl.other"
    parameters = {
        "num_layers": layers,
        "prefix": prefix,
        "theta": theta,
        "mrope_section": sections,
        "first_long_term_layer": first_long_term,
        "reindexed": reindexed,
        "head_dim": head_dim,
    }
    return {case: parameters}, {f"{case}.{name}": t for name, t in tensors.items()}


@pytest.mark.parametrize(
    ("num_layers", "num_tokens", "budget", "prefix"),
    [(24, 20, 7, 3), (36, 9, 4, 0), (9, 5, 5, 2), (4, 5, 5, 0), (3, 4, 6, 1)],
)
def test_scoring_cases_of_other_layouts_pass(
    num_layers: int, num_tokens: int, budget: int, prefix: int, tmp_path: Path
) -> None:
    vectors = oracle_scoring(num_layers, num_tokens, budget, prefix)
    if prefix + num_tokens <= budget:
        vectors = never_triggered(vectors)
    write_vectors(tmp_path, vectors)
    check_folder(tmp_path)


def never_triggered(vectors: Vectors) -> Vectors:
    """At or under the budget, prefix included, the released code keeps everything."""
    (case, parameters), *_ = vectors[0].items()
    total = parameters["prefix"] + parameters["visual_tokens"]
    keep = torch.arange(total).expand(parameters["num_layers"], -1)
    return {case: parameters | {"lengths": [total] * len(keep)}}, vectors[1] | {f"{case}.keep": keep}


@pytest.mark.parametrize("sections", [None, [2, 3, 3]])
@pytest.mark.parametrize("reindexed", [True, False])
@pytest.mark.parametrize(("kv_heads", "prefix"), [(1, 4), (2, 1)])
def test_compaction_cases_of_other_layouts_pass(
    sections: list[int] | None, reindexed: bool, kv_heads: int, prefix: int, tmp_path: Path
) -> None:
    write_vectors(
        tmp_path, oracle_compaction(sections, reindexed=reindexed, kv_heads=kv_heads, prefix=prefix)
    )
    check_folder(tmp_path)
