"""Installed packages add commands, policies and families; a bad one costs its own names alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
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


def hermes(site, *arguments):
    """Run the command in a process that sees a folder of installed packages."""
    path = os.pathsep.join([str(ROOT / "src"), str(site)])
    return subprocess.run(
        [sys.executable, "-m", "hermes_stream", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def package(site, name, group, *entries, code=""):
    """Write an installed package of one module with entry points."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries]))
    (site / f"{name}.py").write_text(code)


def test_the_command_of_the_example(example):
    assert "frames" in hermes(example, "--help").stdout
    clip = ROOT / "tests/data/media/h265_video.mp4"
    run = hermes(example, "frames", clip, "--fps", 2, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert len(json.loads(run.stdout)["times_seconds"]) >= 2


def test_the_policy_of_the_example(example):
    listed = json.loads(hermes(example, "policies", "--json").stdout)["policies"]
    assert listed[-1]["name"] == "ends"
    assert listed[-1]["defaults"] == {"budget_tokens": 4000, "first_share": 0.5}
    demo = ["demo", "--seconds", 20, "--policy", "ends:first_share=0.25", "--against", "none", "--json"]
    run = hermes(example, *demo, "--budget-tokens", 60)
    assert (run.returncode, run.stderr) == (0, "")
    kept = {int(frame) for frame in json.loads(run.stdout)["num_kept_by_temporal_patch"]}
    assert {0, 1, 18, 19} <= kept
    assert not {5, 6, 7} & kept


def test_the_family_of_the_example(example, tmp_path):
    folder = shutil.copytree(str(files("hermes_stream") / "tiny/weights"), tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "doorbell"}))
    run = hermes(example, "doctor", "--model", folder, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["stream"]["family"] == "doorbell"


def test_a_package_that_cannot_be_imported_costs_its_own_command(tmp_path):
    package(tmp_path, "broken", "hermes_stream.commands", "ring = broken:ring", code="import nosuchmodule")
    run = hermes(tmp_path, "--help")
    assert (run.returncode, run.stderr.count("\n")) == (0, 1)
    assert run.stderr.startswith("hermes: warning: command 'ring' is left out")
    assert "broken 1.0" in run.stderr
    assert "nosuchmodule" in run.stderr
    other = hermes(tmp_path, "--version")
    assert (other.returncode, other.stderr) == (0, "")
    own = hermes(tmp_path, "ring")
    assert (own.returncode, own.stdout, own.stderr.count("\n")) == (1, "", 1)
    assert "nosuchmodule" in own.stderr


def test_a_policy_that_cannot_be_imported_is_left_out_of_the_list(tmp_path):
    package(tmp_path, "broken", "hermes_stream.policies", "odd = broken:Odd", code="raise ValueError('no')")
    run = hermes(tmp_path, "policies", "--json")
    assert run.returncode == 0
    assert "odd" not in [one["name"] for one in json.loads(run.stdout)["policies"]]
    assert "'odd' of broken 1.0" in run.stderr


def test_a_name_that_is_taken_is_an_error_that_says_both(tmp_path):
    package(tmp_path, "rude", "hermes_stream.commands", "policies = rude:run", code="def run(): ...")
    run = hermes(tmp_path, "policies")
    assert (run.returncode, run.stdout) == (1, "")
    assert "'policies' is offered by hermes-stream itself and by rude 1.0 (rude:run)" in run.stderr
    assert hermes(tmp_path, "models").returncode == 0


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
