"""The rule that proposes boundaries, and that the shares say what it says."""

from __future__ import annotations

import pytest

from hermes_lab.analysis.tier_proposal import propose_tiers
from hermes_stream.memory.tiers import Tiers


def test_the_rule():
    recency = [0.9, 0.75, 0.7, 0.9, 0.6, 0.74, 0.5]
    periods = [0.0, 0.9, 0.9, 0.9, 0.19, 0.2, 0.6]
    found = propose_tiers(recency, periods)
    assert (found.num_sensory_layers, found.num_long_term_layers) == (2, 2)


def test_no_tier_where_nothing_speaks_for_it():
    found = propose_tiers([0.5] * 8, [None] * 8)
    assert (found.num_sensory_layers, found.num_long_term_layers) == (0, 0)
    assert (found.sensory_share, found.long_term_share) == (0, 0)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 7, 10, 24, 28, 36, 64, 80])
def test_the_shares_give_the_proposed_layers(num_layers):
    for sensory in range(num_layers + 1):
        for long_term in range(num_layers + 1 - sensory):
            middle = num_layers - sensory - long_term
            recency = [0.9] * sensory + [0.6] * (middle + long_term)
            found = propose_tiers(recency, [0.0] * (sensory + middle) + [0.5] * long_term)
            tiers = Tiers(
                num_layers=num_layers,
                sensory_share=found.sensory_share,
                long_term_share=found.long_term_share,
            )
            assert tiers.first_working_layer == sensory
            assert num_layers - tiers.first_long_term_layer == long_term
            assert len(f"{found.long_term_share}") <= 5
