from __future__ import annotations

import pytest
import torch
from tests.oracles import splitmix

from hermes_stream.memory.random_keys import random_keys

IDENTITIES = torch.tensor([[0, 1, 2, 77, 2**39], [5, -1, 1, 0, 123_456_789]])


@pytest.mark.parametrize("seed", [0, 3, 2**31])
def test_keys_are_the_upper_bits_of_splitmix(seed: int) -> None:
    expected = [[splitmix(identity, seed) for identity in row] for row in IDENTITIES.tolist()]
    assert random_keys(IDENTITIES, seed, torch.float64).tolist() == expected
    rough = random_keys(IDENTITIES, seed, torch.float32)
    assert rough.dtype == torch.float32
    assert rough.tolist() == [[int(key * 2**24) / 2**24 for key in row] for row in expected]


def test_layers_draw_numbers_of_their_own() -> None:
    ids = torch.arange(5).expand(3, -1)
    expected = [[splitmix(identity + layer * 2**40, 1) for identity in range(5)] for layer in range(3)]
    assert random_keys(ids, 1, torch.float64, per_layer=True).tolist() == expected
