"""What Qwen's towers reckon of a grid is made once, and the same; windows may be read at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tests.families import FAMILIES
from torch.nn import functional as F
from transformers import vision_utils

from hermes_stream import load_model
from hermes_stream.models import patch_tower
from hermes_stream.models.patch_tower import ATTENTION_NAME, PatchTower
from hermes_stream.synthetic.world import generate_world

QWEN = [name for name in FAMILIES if "qwen" in name]
GRIDS = ((1, 4, 4), (2, 4, 6), (3, 6, 4))


@pytest.mark.parametrize("name", QWEN)
def test_the_tower_makes_the_same_of_a_plan(name, tmp_path):
    FAMILIES[name].save(tmp_path, max_positions=512)
    model = load_model(tmp_path)
    tower, vision = PatchTower(model.vision), model.vision
    values = model.prepare(list(generate_world(1, 4).frames(1.0))[:2]).values
    for grid in (*GRIDS, GRIDS[0]):
        rows = grid[0] * grid[1] * grid[2]
        pixels = torch.randn(rows, values.shape[1], generator=torch.Generator().manual_seed(rows))
        with torch.no_grad():
            expected = vision(pixels, grid_thw=torch.tensor([grid]))
            found = vision(pixels, grid_thw=torch.tensor([grid]), **tower.plan(grid))
        assert torch.equal(found.pooler_output, expected.pooler_output)
    assert tower._reckoned.cache_info().currsize == len(GRIDS)


def test_plans_are_bounded_also_where_threads_share_a_tower(monkeypatch):
    tower, plain = PatchTower(load_model("tiny-qwen").vision), vision_utils.get_vision_cu_seqlens

    def meanwhile(sizes):
        """As if another thread wanted a plan while one is made."""
        if (count := int(sizes[0, 0])) < 20:
            tower.plan((100 + count, 4, 4))
        return plain(sizes)

    monkeypatch.setattr(vision_utils, "get_vision_cu_seqlens", meanwhile)
    for count in range(1, 20):
        tower.plan((count, 4, 4))
    assert tower._reckoned.cache_info().currsize == 8


def by_loops(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=None):
    """Stand in for the kernel, as torch documents it."""
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert max_q == max_k == int(cu_seq_q.diff().max())
    cuts = cu_seq_q[1:-1].tolist()
    windows = zip(
        *(one.transpose(0, 1).tensor_split(cuts, dim=1) for one in (query, key, value)), strict=True
    )
    outputs = [F.scaled_dot_product_attention(*(one[None] for one in own), scale=scale)[0] for own in windows]
    return torch.cat(outputs, dim=1).transpose(0, 1)


def test_windows_read_at_once_are_windows_read_one_by_one(monkeypatch):
    monkeypatch.setattr(patch_tower, "_window_kernel", lambda _: by_loops)
    model = load_model("tiny-qwen")
    pixels = model.prepare(list(generate_world(1, 16).frames(1.0)))
    assert model.vision.config._attn_implementation == ATTENTION_NAME
    found = model.encode(pixels).tokens
    monkeypatch.undo()
    torch.testing.assert_close(found, load_model("tiny-qwen").encode(pixels).tokens, rtol=1e-4, atol=1e-4)


def test_a_processor_reads_windows_one_by_one():
    attention = SimpleNamespace(head_dim=16)
    blocks = [SimpleNamespace(attn=attention)]
    for dtype in (torch.float32, torch.bfloat16):
        tower = SimpleNamespace(device=torch.device("cpu"), dtype=dtype, blocks=blocks)
        assert patch_tower._window_kernel(tower) is None
