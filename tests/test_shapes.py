"""The check of shapes bites, in functions and in dataclasses."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from hermes_stream.memory.rope import rotate
from hermes_stream.models.visual import Features


def test_axes_of_one_name_must_agree():
    keys, angles = torch.zeros(2, 5, 8), torch.zeros(5, 8)
    assert rotate(keys, angles, angles).shape == keys.shape
    with pytest.raises(TypeCheckError):
        rotate(keys, angles, torch.zeros(4, 8))


def test_numbers_of_another_kind_are_refused():
    with pytest.raises(TypeCheckError):
        rotate(torch.zeros(2, 5, 8, dtype=torch.long), torch.zeros(5, 8), torch.zeros(5, 8))


def test_fields_of_a_dataclass_must_agree():
    tokens = torch.zeros(4, 16)
    assert Features(tokens=tokens, grid=(1, 2, 2), deepstack=torch.zeros(3, 4, 16)).grid == (1, 2, 2)
    with pytest.raises(TypeCheckError):
        Features(tokens=tokens, grid=(1, 2, 2), deepstack=torch.zeros(3, 5, 16))
