"""The stress of annotations: sound files are read, damage follows from the seed, a short run is clean."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hermes_lab.datasets import read_annotations
from hermes_lab.stress import annotations, reading
from hermes_lab.stress.annotations import read_all, summary, write_damaged
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
        sound, mutations, _ = write_damaged(tmp_path / name, seed=5, index=8)
        content = {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}
        found.append((sound.name, mutations, content))
    assert found[0] == found[1]


def test_a_short_run(tmp_path, monkeypatch, capsys):
    out = tmp_path / "stress.json"
    monkeypatch.setattr(sys, "argv", ["annotations", "--count", "60", "--seed", "99", "--out", str(out)])
    annotations.main()
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document == json.loads(out.read_text())
    assert (document["num_files"], document["wrong"]) == (60, [])


def test_what_is_wrong_is_told(monkeypatch):
    monkeypatch.setattr(annotations, "_READING", "hermes_lab.stress.nothing")
    outcomes = list(read_all(count=2, seed=0, limits=Limits(seconds=20.0, bytes=10**9), num_workers=1))
    assert [one.outcome for one in outcomes] == ["crash", "crash"]
    assert len(summary(outcomes)["wrong"]) == 2


def test_one_file_can_be_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["annotations", "--only", "2", "--keep", str(tmp_path / "kept")])
    annotations.main()
    task = json.loads(capsys.readouterr().out)
    assert Path(task["annotations"]).is_file()
