"""The simulation of ownership: the same for a seed, right by default, and wrong where leases do not agree."""

from __future__ import annotations

import pytest

from hermes_lab.stress.cluster_simulation import Rates, Simulation, summary

RATES = Rates(death=6.0, freeze=5.0, join=6.0, drain=30.0, outage=40.0, frozen=6.0)


def simulated(seed: int, **options) -> dict:
    simulation = Simulation(300, 12, seed=seed, restore_seconds=0.1, rates=RATES, **options)
    simulation.run(200.0)
    return summary(simulation, first_seconds=20.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_stream_has_two_owners_or_none_for_long(seed):
    numbers = simulated(seed)
    assert numbers["num_two_owners"] == numbers["num_moves_from_living"] == 0
    assert numbers["num_moves"] > 100
    assert 5 < numbers["max_gap_seconds"] < 60
    assert numbers == simulated(seed)


def test_leases_that_do_not_agree_are_seen():
    assert simulated(0, believed_seconds=12.0)["num_two_owners"] > 0
