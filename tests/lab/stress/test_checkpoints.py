"""The stress of checkpoints finds faults where there are some, and none in a few damaged checkpoints."""

from __future__ import annotations

import json
from random import Random

import pytest

from hermes_lab.stress import checkpoints
from hermes_lab.stress.checkpoint_damage import DAMAGES, damage
from hermes_lab.stress.checkpoint_sources import save_sources
from hermes_lab.stress.checkpoints import Examiner, Outcome, examine, run


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return save_sources(tmp_path_factory.mktemp("sources"), seed=0)


@pytest.mark.long
def test_whole_checkpoints_answer(sources):
    assert len(sources) == 9
    assert {name: examine(folder).kind for name, folder in sources.items()} == dict.fromkeys(
        sources, "answers"
    )


def test_damage_is_repeatable_and_leaves_the_source_alone(sources, tmp_path):
    source = sources["qwen2_5_vl"]
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    seen = set()
    for index in range(150):
        kind, lines = damage(source, tmp_path / f"a{index}", Random(index))
        again = damage(source, tmp_path / f"b{index}", Random(index))
        assert again == (kind, lines)
        seen.add(kind)
    assert seen == set(DAMAGES)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


@pytest.mark.long
def test_a_few_damaged_checkpoints_show_no_fault(capsys):
    found = run(8, seed=3, max_seconds=300)
    assert found["count"] == sum(found["outcomes"].values()) == 8
    assert found["faults"] == []
    json.dumps(found)


def hang(connection):
    connection.send("ready")
    connection.recv()
    connection.recv()


def die(connection):
    connection.send("ready")
    connection.recv()
    raise SystemExit(3)


@pytest.mark.long
@pytest.mark.parametrize(("stand_in", "kind"), [(hang, "hang"), (die, "crash")])
def test_a_worker_that_hangs_or_dies_is_replaced(monkeypatch, tmp_path, stand_in, kind):
    monkeypatch.setattr(checkpoints, "_PATIENCE", 0.1 if kind == "hang" else 15)
    monkeypatch.setattr(checkpoints, "worker", stand_in)
    examiner = Examiner()
    first = examiner._worker.pid
    assert examiner.examine(tmp_path).kind == kind
    assert examiner._worker.pid != first
    examiner.close()


def test_errors_of_others_and_logits_that_are_not_finite_are_faults(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "_use", lambda folder: ("text", False))
    assert examine(tmp_path).kind == "nonsense"
    monkeypatch.setattr(checkpoints, "_use", lambda folder: {}["a"])
    assert (examine(tmp_path).kind, examine(tmp_path).error) == ("traceback", "KeyError")


def test_much_memory_is_a_fault():
    assert checkpoints._judged(Outcome(kind="refused", peak_bytes=2 << 30)).kind == "memory"
    assert checkpoints._judged(Outcome(kind="refused", peak_bytes=2 << 20)).kind == "refused"
