"""The check of shapes bites, in functions and in dataclasses of every room that holds tensors."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from hermes_stream.cache import StreamCache
from hermes_stream.eight_bits import in_8_bits
from hermes_stream.memory.rope import rotate
from hermes_stream.models.visual import Features
from hermes_stream.policies.base import keeping
from hermes_stream.retrieval.groups import hash_signs


def test_axes_of_one_name_must_agree():
    keys, angles = torch.zeros(2, 5, 8), torch.zeros(5, 8)
    assert rotate.checked(keys, angles, angles).shape == keys.shape
    with pytest.raises(TypeCheckError):
        rotate.checked(keys, angles, torch.zeros(4, 8))


def test_numbers_of_another_kind_are_refused():
    with pytest.raises(TypeCheckError):
        rotate.checked(torch.zeros(2, 5, 8, dtype=torch.long), torch.zeros(5, 8), torch.zeros(5, 8))


def test_fields_of_a_dataclass_must_agree():
    features, tokens = object.__new__(Features), torch.zeros(4, 16)
    Features.__init__.checked(features, tokens=tokens, grid=(1, 2, 2), deepstack=torch.zeros(3, 4, 16))
    with pytest.raises(TypeCheckError):
        Features.__init__.checked(features, tokens=tokens, grid=(1, 2, 2), deepstack=torch.zeros(3, 5, 16))


@pytest.mark.parametrize("function", [in_8_bits, StreamCache.append, keeping, hash_signs])
def test_every_room_is_checked(function):
    assert hasattr(function, "checked")
