"""The limit of a step: it settles where steps take as long as they may, whatever they cost."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace

import pytest

from hermes_stream.service.step_budget import BusyClock, StepBudget


@pytest.mark.parametrize("own_seconds", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("token_seconds", [2e-5, 1e-4, 5e-4])
def test_it_settles_where_a_step_takes_as_long_as_it_may(own_seconds, token_seconds):
    budget, took, rng = StepBudget(0.1), [], random.Random(0)
    for number in range(300):
        tokens = round(budget.step_tokens * rng.uniform(0.3, 1))
        seconds = own_seconds + token_seconds * tokens
        budget.note(seconds * (50 if number == 150 else 1), tokens)  # once, the machine was busy
        took.append(own_seconds + token_seconds * budget.step_tokens)
    reachable = min(0.1, own_seconds + token_seconds * 8192)
    assert all(0.8 * reachable < seconds < 1.2 * reachable for seconds in took[60:150] + took[220:])


@pytest.mark.parametrize("slowness", [1, 10, 100])
def test_a_slow_machine_does_not_make_steps_ever_smaller(slowness):
    budget, rng = StepBudget(0.1), random.Random(0)
    for _ in range(200):
        tokens = round(budget.step_tokens * rng.uniform(0.3, 1))
        budget.note(slowness * (0.02 + 5e-5 * tokens), tokens)
    assert 320 < budget.step_tokens <= 8192  # its own price is half of a step of 400 tokens


def test_questions_alone_say_nothing():
    budget = StepBudget(0.1)
    budget.note(5.0, 0)
    assert (budget.step_tokens, budget.token_seconds) == (1024, None)


def test_a_clock_tells_how_busy_it_is():
    clock = BusyClock()
    assert clock.step_seconds == 0
    with clock.working():
        assert clock.step_seconds >= 0
    assert 0 <= clock.share <= 1


def test_a_token_costs_its_share_of_whole_steps_and_an_engine_is_told_the_limit():
    budget, engine = StepBudget(0.1), SimpleNamespace(step_tokens=0)
    for _ in range(10):
        budget.note(0.04, 400)
    assert budget.token_seconds == pytest.approx(1e-4)
    budget.apply_to(engine)
    assert engine.step_tokens == budget.step_tokens > 0


def test_a_limit_is_never_next_to_nothing():
    budget = StepBudget(0.1)
    for _ in range(100):
        budget.note(1.0, 10)
    assert budget.step_tokens == 64


def test_a_clock_tells_the_share_of_the_last_minute(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = BusyClock()

    def work(seconds: float) -> None:
        with clock.working():
            now[0] += seconds

    for _ in range(10):
        work(0.25)
        now[0] += 0.75
    assert clock.share == pytest.approx(0.25)
    for _ in range(4):
        work(0.125)
        now[0] += 0.125
    assert clock.share == pytest.approx(3.0 / 11)
    with clock.working():
        now[0] += 5.0
        assert clock.step_seconds == 5.0
        assert clock.share == pytest.approx(8.0 / 16)
    assert clock.step_seconds == 0.0
    now[0] += 300.0
    work(6.0)
    assert clock.share == pytest.approx(0.1), "of the last minute alone"
