from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hermes_stream import POLICIES, __version__

COMMAND = [sys.executable, "-m", "hermes_stream"]
HEAVY = """
import sys
from hermes_stream.cli import main
for words in WORDS:
    code = main(words)
    heavy = {"torch", "transformers", "av", "numpy", "matplotlib"} & set(sys.modules)
    if code or heavy:
        sys.exit(f"{words}: code {code}, imported {heavy}")
"""
LIGHT = [
    ["--help"],
    ["--version"],
    *(
        [command, "-h"]
        for command in ("ask", "chat", "world", "eval", "models", "compare", "score", "policies")
    ),
]


def test_help_and_version_import_nothing_heavy():
    code = HEAVY.replace("WORDS", repr(LIGHT))
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_version(hermes):
    run = hermes("--version")
    assert (run.code, run.out, run.err) == (0, f"hermes-stream {__version__}\n", "")


def test_help_names_every_command(hermes):
    run = hermes("--help")
    assert run.code == 0
    assert all(
        command in run.out
        for command in ("demo", "ask", "chat", "world", "eval", "models", "policies", "doctor")
    )


@pytest.mark.parametrize("command", ["demo", "ask", "chat", "eval", "doctor"])
def test_help_of_a_command_names_every_policy(hermes, command):
    run = hermes(command, "--help")
    assert run.code == 0
    assert all(policy in run.out for policy in POLICIES)
    assert "--json" in run.out


@pytest.mark.parametrize("command", ["keys", "snapshots", "cluster"])
def test_a_tree_of_commands_offers_no_completion_that_the_command_itself_lacks(hermes, command):
    assert "completion" not in hermes(command, "--help").out


def test_no_command_is_wrong_usage_and_shows_help(hermes):
    run = hermes()
    assert run.code == 2
    assert "demo" in run.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], ["bogus", "hermes --help"]),
        (["ask", "clip.mp4"], ["question"]),
        (["demo", "--sede", "3"], ["--sede", "hermes demo --help"]),
        (["demo", "--seconds", "1"], ["--seconds", "20"]),
        (["demo", "--budget-tokens", "0"], ["--budget-tokens"]),
        (["doctor", "--policy", "nosuch"], ["nosuch", *POLICIES]),
        (["chat", "clip.mp4", "--speed", "nan"], ["--speed", "nan"]),
        (["ask", "clip.mp4", "what?", "--fps", "0"], ["--fps"]),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(hermes, arguments, words):
    run = hermes(*arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("hermes: error: ")
    assert run.err.count("\n") == 1
    assert all(word in run.err for word in words)


def test_a_command_that_is_misspelt_is_suggested(hermes):
    assert "Did you mean 'analyze'?" in hermes("analyse").err


def test_a_reader_that_leaves_is_no_error():
    with subprocess.Popen([*COMMAND, "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait() == 1


def test_letters_that_the_terminal_lacks_are_replaced():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    run = subprocess.run([*COMMAND, "--help"], check=True, capture_output=True, env=environment)
    assert run.stdout.isascii()
