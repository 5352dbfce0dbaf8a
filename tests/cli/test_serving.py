"""Commands of a service that runs: each in a process of its own, as people run them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.waiting import until

from hermes_stream.cli.pid_file import pid_file, read_pid
from hermes_stream.cli.standing_options import StandingOptions, typed_watches
from hermes_stream.client import Client
from hermes_stream.recipes import recipe_names

NOW = "what is on screen now?"
_SECONDS = 60.0


def start(folder: Path, *words: str) -> tuple[subprocess.Popen, str]:
    """Start a service, and return it with its address."""
    command = [sys.executable, "-m", "hermes_stream", "serve", "--port", "0", "--data", str(folder / "data")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--json", *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
    with process.stdout:
        line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    return process, json.loads(line)["url"]


@pytest.mark.long
def test_a_service_from_start_to_restart(tmp_path, story, hermes):
    settings = tmp_path / "settings.toml"
    settings.write_text("budget_tokens = 90\n")
    process, url = start(tmp_path, "--config", str(settings), "--source", f"clip={story}")
    try:
        with Client(url) as client:
            until(lambda: client.stream("clip").state == "ended", _SECONDS)
            assert client.stream("clip").budget_tokens == 90
            text = client.ask("clip", NOW).text
            remembered = client.stream("clip").num_frames
            events = hermes("events", "--url", url, "--stream", "clip", "--json")
            kinds = [json.loads(line)["kind"] for line in events.out.splitlines()]
            assert "stream_opened" in kinds
            saved = hermes("snapshots", "save", "clip", "--url", url, "--json").document
            assert saved["stream"] == "clip"
            listed = hermes("snapshots", "list", "--url", url).out
            assert f"{saved['id']:>6}" in listed
            settings.write_text(f"budget_tokens = 90\n[streams.second]\nsource = '{story}'\n")
            assert hermes("reload", "--data", tmp_path / "data").code == 0
            until(lambda: "second" in {one.name for one in client.streams()}, _SECONDS)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert hermes("reload", "--data", tmp_path / "data").code == 1
        process, url = start(tmp_path)
        with Client(url) as client:
            again = client.stream("clip")
            assert (again.num_frames, again.epoch) == (remembered, 2)
            assert client.ask("clip", NOW).text == text
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()


def test_settings_are_checked_and_nothing_is_opened(tmp_path, hermes):
    settings = tmp_path / "settings.toml"
    settings.write_text("policy = 'windows'\n[streams.door]\nsource = 'rtsp://camera/1'\n")
    run = hermes("serve", "--config", settings, "--data", tmp_path / "data", "--check", "--json")
    assert run.code == 1
    assert not run.document["is_accepted"]
    assert "windows" in run.document["faults"][0]
    settings.write_text("policy = 'window'\n[streams.door]\nsource = 'rtsp://me:secret@camera/1'\n")
    run = hermes("serve", "--config", settings, "--data", tmp_path / "data", "--check", "--json")
    assert (run.code, run.document["faults"]) == (0, [])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--source", "rtsp://me:secret@camera/1"], "NAME=URL"),
        (["--fps", "-1"], "fps"),
        (["--threads", "0"], "threads"),
        (["--no-auth", "--require-keys"], "exclude each other"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "tls_cert: nowhere.pem"),
        (["--private-networks", "home"], "home"),
    ],
)
def test_bad_settings_are_refused_in_words(tmp_path, hermes, words, text):
    run = hermes("serve", "--data", tmp_path / "data", "--check", *words)
    assert run.code in (1, 2)
    assert text in run.err
    assert "secret" not in run.err
    assert "Traceback" not in run.err


def test_keys_are_made_listed_and_revoked(tmp_path, hermes):
    data = ("--data", tmp_path / "data")
    made = hermes("keys", "create", "page in the hall", "--scope", "read", *data, "--json").document
    assert made["key"].startswith("hermes_")
    listed = hermes("keys", "list", *data).out
    assert "page in the hall" in listed
    assert made["key"] not in listed
    stored = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert made["key"].encode() not in stored
    assert hermes("keys", "revoke", made["id"], *data).code == 0
    assert "revoked" in hermes("keys", "list", *data).out
    assert hermes("keys", "revoke", 99, *data).code == 1
    assert hermes("keys", "create", "x", "--scope", "all", *data).code == 1


@pytest.mark.parametrize("words", [("list",), ("revoke", 1)])
def test_a_folder_that_is_mistyped_is_not_made(tmp_path, hermes, words):
    run = hermes("keys", *words, "--data", tmp_path / "dta")
    assert (run.code, "no record of a service" in run.err) == (1, True)
    assert not (tmp_path / "dta").exists()


def test_where_no_service_runs_it_is_said(hermes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for words in (("events",), ("snapshots", "list")):
        run = hermes(*words, "--url", url)
        assert (run.code, "hermes serve" in run.err) == (1, True)


def test_a_file_is_watched_in_the_terminal(story, hermes):
    run = hermes("watch", story, "--pace", "fast", "--ask", NOW, "--json")
    assert run.code == 0
    *lines, last = [json.loads(line) for line in run.out.splitlines()]
    answers = [line for line in lines if line["schema"] == "hermes.watch.answer/1"]
    assert answers[-1]["answer"]
    assert (last["state"], last["num_frames"], last["num_dropped_frames"]) == ("ended", 8, 0)
    assert hermes("watch", "nowhere.mp4").code == 1


def test_watches_speak_up_in_the_terminal(story, hermes):
    asked = ("--alert", "was there a red circle?", "--count", "how many circles came so far?", "--describe")
    # at its own pace: a busy machine reads a file faster than it finds time to look
    run = hermes("watch", story, *asked, "--state", f"{NOW}:red circle|nothing", "--json")
    assert run.code == 0
    *lines, last = [json.loads(line) for line in run.out.splitlines()]
    assert last["watches"]["num_watches"] == 4
    assert last["watches"]["num_asked"] >= 4
    told = {line["kind"] for line in lines}
    assert told & {"alert_raised", "count_rose", "described", "state_changed"}
    assert hermes("watch", story, "--state", "open?").code == 2
    assert hermes("watch", story, "--alert", " ").code == 1


def test_alerts_and_states_are_answered_from_the_newest_seconds(story, hermes):
    typed = {"alert": ["a now?"], "state": ["b: c|d"], "count": ["how many?"], "describe": True}
    whole = typed_watches(StandingOptions(**typed))
    assert [one.newest_seconds for one in whole] == [None] * 4
    newest = typed_watches(StandingOptions(**typed, newest_seconds=8.0))
    assert [one.newest_seconds for one in newest] == [8.0, 8.0, None, None]
    asked = ("--alert", "is there a red circle now?", "--newest-seconds", 4)
    assert hermes("watch", story, "--pace", "fast", *asked, "--json").document["watches"]["num_asked"] >= 1
    refused = hermes("watch", story, "--count", "how many?", "--newest-seconds", 8)
    assert refused.code == 2
    assert "8 s hold for no question" in refused.err


def test_what_watches_cost_is_told_in_the_end(story, hermes):
    run = hermes("watch", story, "--pace", "fast", "--alert", "is there a red circle now?")
    cost = r"watches: \d+ looks, \d+\.\d\d ms each, \d+ % of the work; 0 skipped"
    assert run.code == 0
    assert re.fullmatch(cost, run.err.splitlines()[-1])
    assert "looks" not in run.out
    assert "looks" not in hermes("watch", story, "--pace", "fast").err


def test_a_recipe_is_watched_in_the_terminal(story, hermes):
    run = hermes("watch", story, "--recipe", "world", "--pace", "fast", "--json")
    assert run.code == 0
    *lines, last = [json.loads(line) for line in run.out.splitlines()]
    assert (last["num_frames"], last["watches"]["num_watches"], last["policy"]) == (8, 4, "hermes")
    assert last["watches"]["num_asked"] > 8  # by all of them; those made late miss the first pictures
    asked = {"red circle", "blue square", "circles", "on screen"}
    assert {
        one["name"] for one in lines if one["schema"] == "hermes.watch.event/1" and "name" in one
    } <= asked
    assert [one["kind"] for one in lines].count("described") > 0


def test_what_is_typed_holds_before_a_recipe(story, hermes):
    typed = ("--fps", "2", "--policy", "window", "--model", "tiny", "--alert", "is there a red circle now?")
    run = hermes("watch", story, "--recipe", "security", "--pace", "fast", *typed, "--json")
    assert run.code == 0
    last = json.loads(run.out.splitlines()[-1])
    assert (last["num_frames"], last["watches"]["num_watches"], last["policy"]) == (16, 5, "window")
    run = hermes("watch", story, "--recipe", "cooking")
    assert (run.code, "there is no recipe 'cooking'" in run.err) == (1, True)


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_would_do(tmp_path, hermes, name):
    data = ("--data", tmp_path / "data")
    run = hermes("serve", "--check", "--recipe", name, "--source", "a=b.mp4", *data, "--json")
    assert (run.code, run.document["is_accepted"], run.document["faults"]) == (0, True, [])
    assert not (tmp_path / "data").exists()


def test_recipes_are_listed_shown_and_checked(tmp_path, hermes):
    listed = [one["name"] for one in hermes("recipes", "--json").document["recipes"]]
    assert {"security", "world"} <= set(listed)
    assert "[[watches]]" in hermes("recipes", "world").out
    data = ("--data", tmp_path / "data")
    assert hermes("serve", "--check", "--recipe", "world", "--source", "a=b.mp4", *data).code == 0
    run = hermes("serve", "--check", "--recipe", "cooking", *data)
    assert (run.code, "recipes: assistant" in run.err) == (1, True)
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[[webhooks]]\nurl = "http://me:planted@house/"\n[[watches]]\nquestion = "x"\nkind = "state"\n'
    )
    run = hermes("serve", "--check", "--config", settings, *data)
    assert (run.code, "planted" in run.err) == (1, False)
    assert "a state needs options" in run.err
    assert "no user name" in run.err


@pytest.mark.parametrize(
    "words",
    [
        ("--no-journal",),
        ("--journal",),
        ("--kv-bits", "8"),
        ("--keep-days", "off", "--keep-bytes", "off"),
        ("--keep-days", "0.5", "--keep-bytes", "1000000"),
    ],
)
def test_every_setting_can_be_given_as_a_flag(tmp_path, hermes, words):
    assert hermes("serve", "--data", tmp_path / "data", "--check", *words).code == 0


@pytest.mark.parametrize("columns", [60, 80])
def test_the_help_names_options_whole_and_shows_defaults(hermes, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = hermes("serve", "--help").out
    assert "--max-questions-per-stream N" in text
    assert "[default: 8000]" in " ".join(text.split())
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= columns


def test_a_port_that_is_taken_is_told(tmp_path, hermes):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, data = taken.getsockname()[1], tmp_path / "data"
        run = hermes("serve", "--port", port, "--data", data, "--model", "none")
    assert run.code == 1  # before the model is looked for
    assert not data.exists()
    assert run.err.splitlines()[-1].startswith("hermes: error: cannot listen at 127.0.0.1, port")


def test_a_folder_that_is_served_already_is_told_before_the_model_is_loaded(tmp_path, hermes):
    with (tmp_path / "service.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = hermes("serve", "--port", "0", "--data", tmp_path, "--model", "none")
    assert run.code == 1
    assert "another service uses the data folder" in run.err


@pytest.mark.long
def test_a_signal_to_reload_while_the_service_starts_is_remembered(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text("")
    command = [sys.executable, "-m", "hermes_stream", "serve", "--port", "0", "--json"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--data", str(tmp_path / "data"), "--config", str(settings)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            caught = Path(f"/proc/{process.pid}/status")
            until(lambda: catches_hangup(caught.read_text()), _SECONDS)
            assert not (tmp_path / "data").exists()  # it is still loading
            settings.write_text("[streams.later]\n")
            process.send_signal(signal.SIGHUP)
            with process.stdout:
                url = json.loads(process.stdout.readline())["url"]
            with Client(url) as client:
                until(lambda: [one.name for one in client.streams()] == ["later"], _SECONDS)
        finally:
            process.terminate()
        assert process.wait(60) == 0


def catches_hangup(status: str) -> bool:
    (line,) = [one for one in status.splitlines() if one.startswith("SigCgt")]
    return bool(int(line.split()[1], 16) & 1 << (signal.SIGHUP - 1))


def test_the_number_of_a_program_that_was_killed_is_not_believed(tmp_path):
    (tmp_path / "service.lock").touch()
    with pid_file(tmp_path):  # the number of this very program, which serves nothing
        with pytest.raises(ValueError, match="no service runs"):
            read_pid(tmp_path)
        with (tmp_path / "service.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert read_pid(tmp_path) == os.getpid()
