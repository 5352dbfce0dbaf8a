"""The reference presets against numbers from the released code; see tests/data/conformance/README.md.

The folder is named by HERMES_CONFORMANCE_DIR. Everything is read from it; nothing is ever skipped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from hermes_stream.memory.rope import RotaryLayout, reindex, rotate
from hermes_stream.memory.selection import evicted_mask, select_tokens
from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.summary import merge_evicted, summary_position
from hermes_stream.policies.base import GuidancePrompts
from hermes_stream.policies.hermes import HermesPolicy

STORED = Path(__file__).parent / "data" / "conformance"
FOLDER = Path(os.environ.get("HERMES_CONFORMANCE_DIR", STORED))

SCORING_TENSORS = ("attention_local", "attention_global", "attention_mixed", "keep")
COMPACTION_TENSORS = ("keys", "values", "positions", "keep", "out_keys", "out_values", "out_positions")


def check_folder(folder: Path) -> None:
    """Check every case of a folder; name all that disagree."""
    cases = json.loads((folder / "vectors.json").read_text())
    tensors_of: dict[str, dict[str, Tensor]] = {name: {} for name in cases}
    for key, tensor in load_file(folder / "vectors.safetensors").items():
        case, _, name = key.rpartition(".")
        assert case in cases, f"{key}: vectors.json knows no case {case!r}"
        tensors_of[case][name] = tensor
    assert cases, f"{folder} holds no cases"
    failures = []
    for case, parameters in cases.items():
        try:
            check_case(case, parameters, tensors_of[case])
        except Exception as error:
            failures.append(f"{case}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)


def check_case(case: str, parameters: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    kind, backend, _ = case.split(".", 2)
    if kind == "scoring":
        assert set(SCORING_TENSORS) <= tensors.keys(), f"missing {set(SCORING_TENSORS) - tensors.keys()}"
        check_scoring(backend, parameters, tensors)
    elif kind == "compaction":
        assert set(COMPACTION_TENSORS) <= tensors.keys(), (
            f"missing {set(COMPACTION_TENSORS) - tensors.keys()}"
        )
        check_compaction(parameters, tensors)
    else:
        raise AssertionError(f"unknown kind of case {kind!r}")


def check_scoring(backend: Any, parameters: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """The preset keeps exactly the indices that the released code keeps."""
    shape = (parameters["num_layers"], parameters["visual_tokens"])
    for name in SCORING_TENSORS[:3]:
        assert tensors[name].shape == shape, f"{name} is {tuple(tensors[name].shape)}, not {shape}"
    policy = HermesPolicy.reference_code(backend, budget_tokens=parameters["budget"])
    state = scoring_state(policy, parameters, tensors)
    keep = torch.arange(shape[1]).expand(shape)
    if policy.exceeds(shape[1], parameters["budget"], parameters["prefix"]):
        keep = policy.plan(state).keep
    prefix = torch.arange(parameters["prefix"]).expand(shape[0], -1)
    keep = torch.cat((prefix, torch.where(keep >= 0, keep + parameters["prefix"], -1)), dim=1)
    assert (keep >= 0).sum(dim=1).tolist() == parameters["lengths"], "lengths differ"
    assert torch.equal(keep, tensors["keep"]), f"layers {differing_rows(keep, tensors['keep'])} differ"


def scoring_state(
    policy: HermesPolicy, parameters: dict[str, Any], tensors: dict[str, Tensor]
) -> MemoryState:
    """What the policy sees: every layer holds all tokens and reads the prompt that guidance gives it."""
    num_layers, num_tokens = parameters["num_layers"], parameters["visual_tokens"]
    guidance = policy.guidance(num_layers, GuidancePrompts(), None)
    assert guidance is not None
    by_prompt = (tensors["attention_mixed"], tensors["attention_global"])
    attention = torch.zeros(num_layers, num_tokens)
    for layer, prompt in enumerate(guidance.prompt_of_layer):
        if prompt is not None:
            attention[layer] = by_prompt[prompt][layer]
    index = torch.arange(num_tokens).expand(num_layers, -1)
    return MemoryState(
        num_prefix_tokens=parameters["prefix"],
        token_ids=index,
        temporal_patch_ids=index,
        pts_seconds=index.float(),
        counts=torch.ones_like(index),
        attention=attention,
    )


def check_compaction(parameters: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Eviction, re-indexing and summary of raw keys give the released code's rotated keys."""
    keys, keep, out_positions = tensors["keys"], tensors["keep"], with_axes(tensors["out_positions"])
    assert keys.shape[0] == parameters["num_layers"], f"num_layers is not {keys.shape[0]}"
    assert keys.shape[3] == parameters["head_dim"], f"head_dim is not {keys.shape[3]}"
    raw, values, positions, present = compact(parameters, tensors)
    num_slots = present.sum(dim=1)
    assert out_positions.shape[2] == num_slots.max(), f"the plan leaves {num_slots.max()} slots"
    cos, sin = rotary_layout(parameters).cos_sin(positions)
    rotated = rotate(raw, cos[:, None], sin[:, None])
    for layer in range(len(keep)):
        n = int(num_slots[layer])
        expected = {name: tensors[name][layer, :, :n] for name in ("out_keys", "out_values")}
        assert torch.equal(positions[layer, :, :n], out_positions[layer, :, :n]), f"positions, layer {layer}"
        torch.testing.assert_close(rotated[layer, :, :n], expected["out_keys"], atol=2e-3, rtol=0)
        torch.testing.assert_close(values[layer, :, :n], expected["out_values"], atol=1e-5, rtol=0)


def compact(parameters: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return raw keys, values and positions of each layer after compression, and which slots are filled."""
    keep, positions = tensors["keep"], with_axes(tensors["positions"])
    raw, values = unrotated(parameters, tensors), tensors["values"]
    evicted = evicted_mask(keep, torch.ones_like(positions[:, 0], dtype=torch.bool))
    summary_key, summary_value = merge_evicted(raw, values, evicted)

    present = keep >= 0
    kept_positions = select_tokens(positions[..., None], keep)[..., 0]
    if parameters["reindexed"]:
        kept_positions = reindex(kept_positions, parameters["prefix"], present)
    at_end = summary_position(kept_positions, present)

    width = keep.shape[1] + 1
    kept_keys = pad_tokens(select_tokens(raw, keep), width, dim=2)
    kept_values = pad_tokens(select_tokens(values, keep), width, dim=2)
    kept_positions = pad_tokens(kept_positions, width, dim=2)
    present = pad_tokens(present, width, dim=1)
    for layer in range(parameters["first_long_term_layer"], parameters["num_layers"]):
        if evicted[layer].any():
            slot = int(present[layer].sum())
            kept_keys[layer, :, slot] = summary_key[layer]
            kept_values[layer, :, slot] = summary_value[layer]
            kept_positions[layer, :, slot] = at_end[layer]
            present[layer, slot] = True
    return kept_keys, kept_values, kept_positions, present


def rotary_layout(parameters: dict[str, Any]) -> RotaryLayout:
    theta, head_dim = parameters["theta"], parameters["head_dim"]
    inv_freq = 1.0 / (theta ** (torch.arange(0, head_dim, 2).float() / head_dim))
    if parameters["mrope_section"] is None:
        return RotaryLayout.one_axis(inv_freq)
    return RotaryLayout.sectioned(inv_freq, parameters["mrope_section"])


def unrotated(parameters: dict[str, Any], tensors: dict[str, Tensor]) -> Tensor:
    cos, sin = rotary_layout(parameters).cos_sin(with_axes(tensors["positions"]))
    return rotate(tensors["keys"], cos[:, None], -sin[:, None])


def with_axes(positions: Tensor) -> Tensor:
    """Positions of one axis are stored without it."""
    return positions if positions.dim() == 3 else positions[:, None]


def pad_tokens(tensor: Tensor, width: int, *, dim: int) -> Tensor:
    shape = list(tensor.shape)
    shape[dim] = width - shape[dim]
    return torch.cat((tensor, tensor.new_zeros(shape)), dim=dim)


def differing_rows(ours: Tensor, theirs: Tensor) -> list[int]:
    if ours.shape != theirs.shape:
        return list(range(len(ours)))
    return (ours != theirs).any(dim=1).nonzero().flatten().tolist()


def test_reference_presets_agree_with_the_released_code() -> None:
    check_folder(FOLDER)
