"""Damaged pictures, messages and events are answered in words, and harm nothing: the short form."""

from __future__ import annotations

from hermes_lab.stress.server import attack


def test_a_server_goes_on_under_damaged_input():
    numbers = attack(150, seed=1)
    assert numbers["faults"] == []
    assert numbers["is_live_afterwards"]
    assert numbers["answers_afterwards"]
    assert sum(numbers["outcomes"].values()) == 150
    ways = {name.partition("_")[0] for name in numbers["outcomes"]}
    assert ways == {"post", "frames", "realtime"}
    assert any(name.endswith("refused_in_words") for name in numbers["outcomes"])
