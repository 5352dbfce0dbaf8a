from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracles
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

from hermes_stream.memory.rope import (
    RotaryLayout,
    dense_positions,
    next_position,
    reindex,
    right_alignment,
    rotate,
    scaled_positions,
)

HEAD_DIM = 128
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def config(**rope: object) -> SimpleNamespace:
    parameters = {"rope_type": "default", "rope_theta": 1e6} | rope
    return SimpleNamespace(
        max_position_embeddings=4096,
        head_dim=HEAD_DIM,
        hidden_size=HEAD_DIM,
        num_attention_heads=1,
        rope_parameters=parameters,
        standardize_rope_params=lambda: None,
    )


def families() -> list[tuple[str, torch.nn.Module, RotaryLayout]]:
    qwen2 = modeling_qwen2.Qwen2RotaryEmbedding(config())
    qwen25 = modeling_qwen2_5_vl.Qwen2_5_VLRotaryEmbedding(config(mrope_section=[16, 24, 24]))
    qwen3 = modeling_qwen3_vl.Qwen3VLTextRotaryEmbedding(config(mrope_section=[24, 20, 20]))
    return [
        ("qwen2", qwen2, RotaryLayout.one_axis(qwen2.inv_freq)),
        ("qwen2_5_vl", qwen25, RotaryLayout.sectioned(qwen25.inv_freq, [16, 24, 24])),
        ("qwen3_vl", qwen3, RotaryLayout.interleaved(qwen3.inv_freq, [24, 20, 20])),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("family", "module", "layout"), families(), ids=lambda f: f if isinstance(f, str) else ""
)
def test_rotation_equals_transformers_bit_for_bit(
    family: str, module: torch.nn.Module, layout: RotaryLayout, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randint(0, 4000, (layout.num_axes, 9), generator=generator)
    keys = torch.randn(1, 2, 9, HEAD_DIM, generator=generator).to(dtype)
    ids = positions[:, None] if layout.num_axes == 3 else positions
    cos, sin = module(keys, ids)
    if cos.dim() == 4:
        cos, sin = cos.squeeze(0), sin.squeeze(0)
    _, expected = modeling_qwen2.apply_rotary_pos_emb(keys, keys, cos, sin)
    ours = rotate(keys, *layout.cos_sin(positions))
    assert ours.dtype == dtype
    assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    ("family", "module", "layout"), families(), ids=lambda f: f if isinstance(f, str) else ""
)
def test_rotation_equals_the_oracle(family: str, module: torch.nn.Module, layout: RotaryLayout) -> None:
    positions = torch.tensor([[7], [3], [11]])[: layout.num_axes]
    key = torch.randn(1, HEAD_DIM, generator=torch.Generator().manual_seed(1))
    angles = [
        positions[axis, 0].item() * inv_freq
        for axis, inv_freq in zip(layout.axis_of_frequency.tolist(), layout.inv_freq.tolist(), strict=True)
    ]
    ours = rotate(key, *layout.cos_sin(positions))[0]
    assert ours.tolist() == pytest.approx(oracles.rotate(key[0].tolist(), angles), abs=1e-5)


def test_rotating_back_is_the_inverse() -> None:
    layout = families()[2][2]
    cos, sin = layout.cos_sin(torch.randint(0, 3000, (5, 3, 6), generator=torch.Generator().manual_seed(2)))
    keys = torch.randn(5, 2, 6, HEAD_DIM, generator=torch.Generator().manual_seed(3))
    cos, sin = cos[:, None], sin[:, None]
    torch.testing.assert_close(rotate(rotate(keys, cos, sin), cos, -sin), keys, atol=1e-5, rtol=0)
    assert torch.equal(rotate(keys, *layout.cos_sin(torch.zeros(3, 6))), keys)


def test_only_differences_of_positions_matter() -> None:
    layout = families()[1][2]
    query, key = torch.randn(2, 1, HEAD_DIM, generator=torch.Generator().manual_seed(4))
    at = [torch.tensor([[float(p)], [p + 2.0], [p + 5.0]]) for p in (0, 900)]
    near, far = ((rotate(query, *layout.cos_sin(p)) * rotate(key, *layout.cos_sin(p + 3))).sum() for p in at)
    torch.testing.assert_close(near, far, atol=1e-3, rtol=0)


def test_layouts_name_the_axis_of_each_frequency() -> None:
    inv_freq = torch.ones(6)
    assert RotaryLayout.one_axis(inv_freq).axis_of_frequency.tolist() == [0] * 6
    assert RotaryLayout.sectioned(inv_freq, [1, 2, 3]).axis_of_frequency.tolist() == [0, 1, 1, 2, 2, 2]
    assert RotaryLayout.interleaved(inv_freq, [3, 2, 1]).axis_of_frequency.tolist() == [0, 1, 2, 0, 1, 0]
    assert RotaryLayout.one_axis(inv_freq).to("cpu").num_axes == 1


@pytest.mark.parametrize("make", [RotaryLayout.sectioned, RotaryLayout.interleaved])
def test_sections_must_sum_to_all_frequencies(make: object) -> None:
    with pytest.raises(ValueError, match="sum to"):
        make(torch.ones(6), [1, 2, 2])


axes_of_positions = st.integers(1, 3).flatmap(
    lambda axes: st.integers(0, 7).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=axes, max_size=axes)
    )
)


@settings(max_examples=60, deadline=None)
@given(axes_of_positions, st.integers(0, 20), st.integers(0, 3), st.booleans())
def test_dense_positions(rows: list[list[int]], offset: int, padding: int, as_float: bool) -> None:
    positions = torch.tensor([row + [5] * padding for row in rows], dtype=torch.long)
    present = torch.arange(positions.shape[1]) < len(rows[0])
    result = dense_positions(positions.float() if as_float else positions, offset, present)
    assert result.is_floating_point() == as_float
    assert result[:, present].tolist() == [oracles.dense(row, offset) for row in rows]
    assert torch.all(result[:, ~present] == 0)


def test_dense_positions_of_stacked_layers_equal_layers_alone() -> None:
    positions = torch.randint(0, 9, (3, 2, 8), generator=torch.Generator().manual_seed(5))
    stacked = dense_positions(positions, 4)
    for layer in range(3):
        assert torch.equal(stacked[layer], dense_positions(positions[layer], 4))


def test_reindex_keeps_the_prefix() -> None:
    positions = torch.tensor([[0, 1, 40, 44, 40], [0, 1, 41, 40, 40]])
    assert reindex(positions, 2).tolist() == [[0, 1, 2, 3, 2], [0, 1, 3, 2, 2]]
    present = torch.tensor([True, True, True, True, False])
    assert reindex(positions, 2, present).tolist() == [[0, 1, 2, 3, 0], [0, 1, 3, 2, 0]]
    assert reindex(positions[:, :2], 2).tolist() == [[0, 1], [0, 1]]


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(0, 400), max_size=8).map(sorted), min_size=1, max_size=3),
    offset=st.integers(0, 20),
    behind=st.integers(0, 60),
    span=st.integers(0, 300),
)
def test_scaled_positions(rows: list[list[int]], offset: int, behind: int, span: int) -> None:
    width, now = max(map(len, rows)), max([0, *(p for row in rows for p in row)]) + 1 + behind
    positions = torch.tensor([row + [7] * (width - len(row)) for row in rows], dtype=torch.long)
    positions = positions.reshape(len(rows), width)
    present = torch.tensor([[i < len(row) for i in range(width)] for row in rows], dtype=torch.bool)
    present = present.reshape(len(rows), width)
    scaled, ends = scaled_positions(positions, offset, present, now=now, span=span)
    for layer, row in enumerate(rows):
        expected, end = oracles.scaled(row, offset, now, span)
        assert scaled[layer, : len(row)].tolist() == expected
        assert ends[layer].item() == end
        assert torch.all(scaled[layer, len(row) :] == 0)


def test_scaled_positions_keep_ages_in_proportion_and_change_nothing_where_all_fit() -> None:
    positions, present = torch.tensor([[100, 500, 900, 980]]), torch.ones(1, 4, dtype=torch.bool)
    scaled, end = scaled_positions(positions, 10, present, now=1000, span=104)
    ages = (end[:, None] - scaled)[0].tolist()
    assert end.item() == 10 + 104
    assert ages == pytest.approx([104, 58, 12.5, 3.2], abs=1.5)  # of 900, 500, 100 and 20
    unchanged, end = scaled_positions(positions, 10, present, now=1000, span=900)
    assert (end[:, None] - unchanged).tolist() == [[900, 500, 100, 20]]


def test_next_position_of_empty_layers_is_zero() -> None:
    positions = torch.full((2, 3, 4), 7)
    present = torch.tensor([[False] * 4, [True] * 4])
    assert next_position(positions, present).tolist() == [0, 8]
    assert next_position(positions[..., :0], present[:, :0]).tolist() == [0, 0]


def test_right_alignment_ends_all_layers_together() -> None:
    ends = torch.tensor([8, 3, 5])
    shift = right_alignment(ends)
    assert (ends + shift).tolist() == [8, 8, 8]
    assert shift.min() == 0
