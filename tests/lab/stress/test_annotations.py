"""The stress of annotations: sound files are read, damage follows from the seed, a short run is clean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hermes_lab.datasets import read_annotations
from hermes_lab.stress import reading
from hermes_lab.stress.annotations import TRIAL, write_damaged
from hermes_lab.stress.damaged_files import parser
from hermes_lab.stress.sound_annotations import encoded, sound_files
from hermes_lab.stress.workers import Limits


@pytest.mark.parametrize("sound", sound_files(), ids=lambda sound: sound.name)
def test_sound_files_are_read_without_oddities(tmp_path, sound):
    files = {sound.file: sound.document, **dict(sound.beside)}
    files |= dict([sound.responses] if sound.responses else [])
    for name, document in files.items():
        (tmp_path / name).write_bytes(encoded(name, document))
    path = tmp_path if sound.name == "mlvu folder" else tmp_path / sound.file
    read = read_annotations(path)
    known = [odd for odd in read.oddities if "are called" not in odd and "no answer is given" not in odd]
    assert (known, read.files_left_out) == ([], ())
    assert read.num_questions == sum(len(one.questions) for one in read.episodes) > 0
    responses = tmp_path / sound.responses[0] if sound.responses else None
    assert reading.examine(path, responses)["outcome"] in ("read", "odd")


def test_damage_follows_from_the_seed(tmp_path):
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        damaged = write_damaged(tmp_path / name, 5, 8)
        content = {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}
        found.append((damaged.source, damaged.mutations, content))
    assert found[0] == found[1]


def run(*words):
    TRIAL.run_command("annotations", parser(None).parse_args(list(map(str, words))))


@pytest.mark.long
def test_a_short_run(tmp_path, capsys):
    out = tmp_path / "stress.json"
    run("--count", 60, "--seed", 99, "--out", out)
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document == json.loads(out.read_text())
    assert (document["num_files"], document["seed"], document["wrong"]) == (60, 99, [])


def test_what_is_wrong_is_told():
    trial = replace(TRIAL, reader="hermes_lab.stress.nothing", first=None)
    limits = Limits(seconds=20.0, bytes=10**9)
    outcomes = list(trial.run(count=2, seed=0, limits=limits, num_workers=1))
    assert [one.outcome for one in outcomes] == ["crash", "crash"]
    assert len(trial.summary(outcomes)["wrong"]) == 2


def test_one_file_can_be_kept(tmp_path, capsys):
    run("--only", 2, "--keep", tmp_path / "kept")
    task = json.loads(capsys.readouterr().out)["task"]
    assert Path(task["annotations"]).is_file()
