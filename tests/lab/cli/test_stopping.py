"""Runs that are told to stop, and two runs in one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hermes_lab.evaluation.run_folder import RunFolder

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six short stories."""
    from hermes_stream.cli import main

    out = tmp_path_factory.mktemp("stopping") / "world"
    size = ["--seconds", "8", "--size", "96", "--questions", "6"]
    assert main(["world", "--out", str(out), "--streams", "6", *size]) == 0
    return out


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "hermes_stream", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


def children_of(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


def wait_until(is_so, program):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert program.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_the_end_of(programs):
    left, deadline = set(programs), time.monotonic() + PATIENCE_SECONDS
    while left := set(filter(is_alive, left)):  # a program may end a moment after the one that began it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def check_that_it_goes_on(hermes, out, arguments):
    stored = out / "predictions.jsonl"
    assert 6 <= stored.read_bytes().count(b"\n") < 36
    assert not (out / "scores.json").exists()
    run = hermes(*arguments, "--threads", 1)
    assert (run.code, run.err, run.document["num_questions"]) == (0, "", 36)
    assert stored.read_bytes().count(b"\n") == 36


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_terminated_run_ends_its_programs_keeps_what_is_done_and_goes_on(hermes, folder, tmp_path):
    out = tmp_path / "run"
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--json"]
    program = started(*arguments, "--workers", 2, "--threads", 2)
    stored = out / "predictions.jsonl"
    try:
        wait_until(lambda: stored.exists() and stored.read_bytes().count(b"\n") >= 6, program)
        children = children_of(program.pid)
        assert len(children) >= 2
        program.send_signal(signal.SIGTERM)
        told, err = program.communicate(timeout=PATIENCE_SECONDS)
    finally:
        program.kill()
    assert program.returncode == 143
    message = f"ended by SIGTERM; start again with --out {out} to go on"
    assert json.loads(told)["error"]["message"] == message
    assert message in err
    assert "Traceback" not in err
    wait_for_the_end_of(children)
    check_that_it_goes_on(hermes, out, arguments)


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(hermes, folder, tmp_path, monkeypatch):
    out = tmp_path / "run"
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--json"]
    add = RunFolder.add

    def adding(self, runs):
        add(self, runs)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "add", adding)
    run = hermes(*arguments, "--threads", 1)
    monkeypatch.undo()
    assert (run.code, run.err) == (130, "")
    assert run.document["error"]["message"] == f"ended by Ctrl-C; start again with --out {out} to go on"
    check_that_it_goes_on(hermes, out, arguments)


SHARED = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace

def load():
    return SimpleNamespace(family="none", has_dynamic_resolution=False)

def open_source(episode):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    from hermes_lab.datasets.episode import Episode
    from hermes_lab.evaluation import Viewing
    from hermes_lab.evaluation.pool import watch_in_pool
    tasks = [(Episode(video=name, questions=()), ()) for name in "ab"]
    viewing = Viewing(load_model=load, open_source=open_source, open_session=None)
    list(watch_in_pool(tasks, viewing, num_workers=2, on_progress=print))
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_programs_end_with_one_that_was_killed(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    begun = tmp_path / "begun"
    begun.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    program = subprocess.Popen([sys.executable, tmp_path / "shared.py", begun], env=environment)
    try:
        wait_until(lambda: len(list(begun.iterdir())) == 2, program)
    finally:
        program.kill()
        program.communicate()
    wait_for_the_end_of(int(one.name) for one in begun.iterdir())


@pytest.mark.parametrize("command", ["eval", "compare"])
def test_a_second_run_in_one_folder_is_refused(hermes, folder, tmp_path, command):
    out = tmp_path / "run"
    common = [folder / "annotations.json", "--videos", folder, "--out", out, "--limit", 1]
    more = ["--policies", "window", "--no-plots"] if command == "compare" else []
    with RunFolder(out).writing():
        run = hermes(command, *common, *more)
    assert (run.code, run.out, run.err.count("\n")) == (1, "", 1)
    assert f"another program (process {os.getpid()}); wait" in run.err
    assert not (out / "predictions.jsonl").exists()


def test_answers_that_vanish_while_a_run_goes_on_fail_it(hermes, folder, tmp_path, monkeypatch):
    out = tmp_path / "run"
    add = RunFolder.add

    def adding(self, runs):
        add(self, runs)
        lines = (out / "predictions.jsonl").read_text().splitlines(keepends=True)
        (out / "predictions.jsonl").write_text("".join(lines[:-1]))

    monkeypatch.setattr(RunFolder, "add", adding)
    arguments = ["eval", folder / "annotations.json", "--videos", folder, "--out", out, "--limit", 2]
    run = hermes(*arguments)
    assert (run.code, run.out) == (1, "")
    assert "10 of 12 answers that were given" in run.err
    monkeypatch.undo()
    again = hermes(*arguments, "--json")
    assert (again.code, again.document["num_questions"]) == (0, 12)
    assert len(list(map(json.loads, (out / "predictions.jsonl").read_text().splitlines()))) == 12
