"""Towers laid out for a device compute what they did."""

from __future__ import annotations

import pytest
import torch
from tests.families import FAMILIES, pictures
from torch import nn

from hermes_stream import load_model
from hermes_stream.models.loading import towers


class Gated(nn.Module):
    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(6, width, bias=bias) for _ in range(2))
        self.down_proj = nn.Linear(width, 6, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(torch.nn.functional.silu(gate) * up)


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("width", "whole"), [(12, 16), (16, 16), (1, 8)])
def test_gates_filled_with_zeros_compute_the_same(monkeypatch, bias, width, whole):
    monkeypatch.setattr(towers, "wants_full_rows", lambda _: True)
    model, x = nn.ModuleList([Gated(width, bias=bias), nn.Linear(3, 3)]), torch.randn(4, 6)
    before = model[0](x)
    towers.fill_gates(model)
    assert model[0].down_proj.in_features == model[0].down_proj.weight.shape[1] == whole
    assert model[0].gate_proj.out_features == model[0].up_proj.weight.shape[0] == whole
    torch.testing.assert_close(model[0](x), before)


def test_a_processor_and_other_numbers_need_no_whole_rows():
    model = Gated(12, bias=True).to(torch.bfloat16)
    towers.fill_gates(model)
    assert model.gate_proj.out_features == 12


@torch.no_grad()
def test_a_family_with_gates_sees_the_same_with_filled_ones(tmp_path, monkeypatch):
    folder = FAMILIES["qwen2_5_vl"].save(tmp_path / "checkpoint")
    plain = load_model(folder, device="cpu")
    monkeypatch.setattr(towers, "ROW_OF", 7)
    monkeypatch.setattr(towers, "wants_full_rows", lambda _: True)
    filled = load_model(folder, device="cpu")
    gates = [one for name, one in filled.vision.named_modules() if name.endswith("gate_proj")]
    assert gates
    assert all(one.out_features % 7 == 0 for one in gates)
    features = [model.encode(model.prepare(pictures(4))).tokens for model in (plain, filled)]
    torch.testing.assert_close(*features)
    assert filled.identity.is_same_as(plain.identity)


@torch.no_grad()
def test_patches_are_laid_out_one_behind_the_other():
    """As of a convolution, whose channels come first."""

    class Embeddings(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(2).transpose(1, 2)

    tower = nn.ModuleDict({"embeddings": Embeddings()})
    x = torch.randn(2, 5, 3, 3)
    before = tower["embeddings"](x)
    towers.keep_patches_together(nn.ModuleDict({"vision_tower": tower}))
    after = tower["embeddings"](x)
    assert torch.equal(after, before)
    assert after.is_contiguous()
    assert not before.is_contiguous()


@pytest.mark.parametrize("name", ["llava_onevision", "smolvlm"])
def test_towers_of_families_are(name, tmp_path):
    model = load_model(FAMILIES[name].save(tmp_path / "checkpoint"), device="cpu")
    hooked = [
        module for module in model.vision.modules() if towers._together in module._forward_hooks.values()
    ]
    assert len(hooked) == 1
