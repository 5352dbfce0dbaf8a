from __future__ import annotations

import pytest
from tests import oracles

from hermes_stream.memory.tiers import Tier, Tiers


@pytest.mark.parametrize("num_layers", range(1, 130))
def test_boundaries_are_those_of_the_paper(num_layers: int) -> None:
    tiers = Tiers(num_layers=num_layers)
    assert tiers.first_working_layer == int(0.1 * num_layers)
    assert tiers.first_long_term_layer == int(0.7 * num_layers)
    assert [tier.name.lower() for tier in tiers.tier_of_layer] == oracles.tier_names(num_layers)


@pytest.mark.parametrize("num_layers", range(1, 10))
def test_below_ten_layers_nothing_is_sensory(num_layers: int) -> None:
    assert Tier.SENSORY not in Tiers(num_layers=num_layers).tier_of_layer


@pytest.mark.parametrize("num_layers", [1, 4, 9, 10, 28, 36])
def test_spread_follows_the_line_in_working_memory(num_layers: int) -> None:
    spread = Tiers(num_layers=num_layers).spread(sensory=5.0, working=(0.75, 0.15), long_term=-1.0)
    for layer, (tier, value) in enumerate(zip(oracles.tier_names(num_layers), spread, strict=True)):
        expected = {"sensory": 5.0, "long_term": -1.0}.get(tier)
        if tier == "working":
            expected = oracles.working_value(layer, num_layers, 0.75, 0.15)
        assert value == pytest.approx(expected, abs=1e-12)


def test_spread_gives_a_constant_to_the_whole_tier() -> None:
    spread = Tiers(num_layers=10).spread(sensory=0.1, working=0.3, long_term=0.4)
    assert spread == (0.1, *(0.3,) * 6, 0.4, 0.4, 0.4)


def test_one_tier_may_take_all_layers() -> None:
    assert set(Tiers(num_layers=7, sensory_share=1.0, long_term_share=0.0).tier_of_layer) == {Tier.SENSORY}
    assert set(Tiers(num_layers=7, sensory_share=0.0, long_term_share=1.0).tier_of_layer) == {Tier.LONG_TERM}
    assert set(Tiers(num_layers=10, sensory_share=0.1, long_term_share=0.9).tier_of_layer) == {
        Tier.SENSORY,
        Tier.LONG_TERM,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"num_layers": 0},
        {"num_layers": 4, "sensory_share": -0.1},
        {"num_layers": 4, "sensory_share": 0.8, "long_term_share": 0.3},
    ],
)
def test_shares_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Tiers(**fields)
