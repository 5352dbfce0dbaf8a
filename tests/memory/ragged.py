"""Layers of different lengths, as nested lists and as padded tensors."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

Rows = list[list[float]]


def scores(max_layers: int = 4, max_tokens: int = 8) -> st.SearchStrategy[Rows]:
    """Rows of few distinct values, so that ties are common."""
    value = st.integers(0, 5).map(lambda n: n / 8)
    return st.lists(st.lists(value, max_size=max_tokens), min_size=1, max_size=max_layers)


def padded(rows: Rows, fill: float, extra: int = 0) -> Tensor:
    """Rows as one tensor, padded on the right, ``extra`` columns wider than the longest."""
    width = max(map(len, rows)) + extra
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows]).reshape(len(rows), width)


def present_of(rows: Rows, extra: int = 0) -> Tensor:
    return padded([[True] * len(row) for row in rows], False, extra).bool()


def unpadded(tensor: Tensor, present: Tensor) -> Rows:
    return [row[keep].tolist() for row, keep in zip(tensor, present, strict=True)]
