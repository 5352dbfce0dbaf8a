"""Installed packages add commands, policies and families; a bad one costs its own names alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from hermes_stream.errors import PluginError
from hermes_stream.plugins import Registry

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example package, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(ROOT / "examples" / "plugin", folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    arguments = ["--no-build-isolation", "--disable-pip-version-check", "--target", folder / "site", source]
    subprocess.run([*pip, *arguments], check=True, capture_output=True)
    return folder / "site"


@dataclass(frozen=True)
class Outcome:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


# Runs one command line after the other, since a process takes seconds to import what all of them need.
PROGRAM = """
import contextlib, io, json, sys
from hermes_stream.cli import main
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


def hermes(site, *commands):
    """Run commands in a process that sees a folder of installed packages."""
    path = os.pathsep.join([str(ROOT / "src"), str(site)])
    words = json.dumps([[str(word) for word in command] for command in commands])
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return [Outcome(*json.loads(line)) for line in run.stdout.splitlines()]


def package(site, name, group, *entries, code=""):
    """Write an installed package of one module with entry points."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries]))
    (site / f"{name}.py").write_text(code)


@pytest.fixture(scope="module")
def outcomes(example, tmp_path_factory):
    """What the example adds, used by name."""
    folder = tmp_path_factory.mktemp("family") / "checkpoint"
    shutil.copytree(str(files("hermes_stream") / "tiny/weights"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "doorbell"}))
    clip = ROOT / "tests/data/media/h265_video.mp4"
    demo = ["demo", "--seconds", 20, "--policy", "ends:first_share=0.25", "--against", "none", "--json"]
    commands = {
        "help": ["--help"],
        "frames": ["frames", clip, "--fps", 2, "--json"],
        "policies": ["policies", "--json"],
        "demo": [*demo, "--budget-tokens", 60],
        "doctor": ["doctor", "--model", folder, "--json"],
    }
    return dict(zip(commands, hermes(example, *commands.values()), strict=True))


@pytest.mark.long
def test_the_command_of_the_example(outcomes):
    assert "frames" in outcomes["help"].out
    run = outcomes["frames"]
    assert (run.code, run.err) == (0, "")
    assert len(run.document["times_seconds"]) >= 2


def test_the_policy_of_the_example(outcomes):
    listed = outcomes["policies"].document["policies"]
    assert listed[-1]["name"] == "ends"
    assert listed[-1]["defaults"] == {"budget_tokens": 4000, "first_share": 0.5}
    run = outcomes["demo"]
    assert (run.code, run.err) == (0, "")
    kept = {int(frame) for frame in run.document["num_kept_by_temporal_patch"]}
    assert {0, 1, 18, 19} <= kept
    assert not {5, 6, 7} & kept


def test_the_family_of_the_example(outcomes):
    run = outcomes["doctor"]
    assert run.code == 0, run.err
    assert run.document["stream"]["family"] == "doorbell"


def test_a_package_that_cannot_be_imported_costs_its_own_command(tmp_path):
    package(tmp_path, "broken", "hermes_stream.commands", "ring = broken:ring", code="import nosuchmodule")
    run, other, own = hermes(tmp_path, ["--help"], ["--version"], ["ring"])
    assert (run.code, run.err.count("\n")) == (0, 1)
    assert run.err.startswith("hermes: warning: command 'ring' is left out")
    assert "broken 1.0" in run.err
    assert "nosuchmodule" in run.err
    assert (other.code, other.err) == (0, "")
    assert (own.code, own.out, own.err.count("\n")) == (1, "", 1)
    assert "nosuchmodule" in own.err


def test_a_policy_that_cannot_be_imported_is_left_out_of_the_list(tmp_path):
    package(tmp_path, "broken", "hermes_stream.policies", "odd = broken:Odd", code="raise ValueError('no')")
    [run] = hermes(tmp_path, ["policies", "--json"])
    assert run.code == 0
    assert "odd" not in [one["name"] for one in run.document["policies"]]
    assert "'odd' of broken 1.0" in run.err


def test_a_name_that_is_taken_is_an_error_that_says_both(tmp_path):
    package(tmp_path, "rude", "hermes_stream.commands", "policies = rude:run", code="def run(): ...")
    run, other = hermes(tmp_path, ["policies"], ["models"])
    assert (run.code, run.out) == (1, "")
    assert "'policies' is offered by hermes-stream itself and by rude 1.0 (rude:run)" in run.err
    assert other.code == 0


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package(tmp_path, "one", "a.group", "left = one:VALUE", "both = one:VALUE", code="VALUE = 1")
    package(tmp_path, "two", "a.group", "right = two:VALUE", "both = two:VALUE", code="VALUE = 2")
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("a.group", {"zero": 0})


def test_names_are_listed_without_an_import(registry):
    assert list(registry) == ["zero", "both", "left", "right"]
    assert len(registry) == 4
    assert "left" in registry
    assert "up" not in registry
    assert not {"one", "two"} & set(sys.modules)


def test_values_of_packages(registry, monkeypatch):
    for name in ("one", "two"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)
    assert (registry["zero"], registry["left"], registry["right"]) == (0, 1, 2)
    with pytest.raises(KeyError):
        registry["up"]
    with pytest.raises(PluginError, match=r"'both' is offered by .* 1\.0 \(.*\) and by .* 1\.0 \("):
        registry["both"]
