"""Threads, 8 bit weights, and numbers that a processor has to imitate, on the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from hermes_stream.models.loading import placement


@pytest.fixture
def threads_put_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_put_back")
def test_threads_are_limited(hermes, story):
    torch.set_num_threads(2)
    hermes("ask", story, "what is on screen now?")
    assert torch.get_num_threads() == 2
    assert hermes("ask", story, "what is on screen now?", "--threads", 1).code == 0
    assert torch.get_num_threads() == 1
    assert hermes("doctor", "--threads", 1, "--json").document["processor"]["num_threads"] == 1
    assert hermes("ask", story, "what is on screen now?", "--threads", 0).code == 2


SUMS = """
from hermes_stream.cli.opening import share_processors
share_processors({num_threads})
import torch
generator = torch.Generator().manual_seed(0)
rows, weights = (torch.randn(num, 64, generator=generator) for num in (400, 128))
together = torch.nn.functional.linear(rows, weights)
alone = {{num: torch.nn.functional.linear(rows[:num], weights) for num in range(4, 40)}}
print([num for num, product in alone.items() if not torch.equal(product, together[:num])])
print(together.double().sum().item())
"""


def test_sums_are_the_same_with_any_number_of_threads_and_rows():
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MKL_CBWR", "OMP_NUM_THREADS")
    }

    def sums(num_threads: int) -> str:
        program = [sys.executable, "-c", SUMS.format(num_threads=num_threads)]
        return subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout

    one, two = sums(1), sums(2)
    assert one == two
    assert two.startswith("[]")


def test_int8_is_named_with_the_settings(hermes, story):
    run = hermes("ask", story, "what is on screen now?", "--weights", "int8", "--json")
    assert (run.code, run.told) == (0, "")
    assert (run.document["weights"], run.document["dtype"]) == ("int8", "float32")


def test_other_weights_are_refused(hermes, story):
    run = hermes("ask", story, "what is on screen now?", "--weights", "int4")
    assert run.code == 1
    assert "choose one of: auto, int8" in run.err


def test_what_a_processor_imitates_is_told_once(hermes, monkeypatch):
    monkeypatch.setattr(placement, "computes_bfloat16", lambda: False)
    run = hermes("doctor", "--dtype", "bfloat16")
    assert run.code == 0
    assert run.err.count("imitates") == 1
    assert "bfloat16 imitated and slow" in run.out
    assert "imitates" not in hermes("doctor").err
