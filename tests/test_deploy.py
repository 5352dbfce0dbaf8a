"""What starts the service by itself: systemd's unit, the image and its composition, their settings."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.server.served import serving

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "hermes-stream.service"
SETTINGS = sorted(DEPLOY.glob("settings*.toml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def check(hermes, words: list[str], tmp_path: Path, **replaced: str):
    """Ask the command whether it would do with these words; paths of other machines are replaced."""
    assert words[0] == "serve"
    mapped = [replaced.get(word, word) for word in words]
    return hermes(
        *mapped, *([] if "--data" in mapped else ["--data", tmp_path / "data"]), "--check", "--json"
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda path: path.name)
def test_settings_are_accepted(settings, hermes, tmp_path):
    run = hermes("serve", "--config", settings, "--data", tmp_path, "--check", "--json")
    assert (run.code, run.document["faults"]) == (0, [])


def test_the_commented_stream_would_do_too(hermes, tmp_path):
    text = (DEPLOY / "settings.toml").read_text(encoding="utf-8")
    settings = tmp_path / "settings.toml"
    settings.write_text(re.sub(r"^# (?=\[|\w+ =)", "", text, flags=re.MULTILINE))
    assert "\n[streams.door]\n" in settings.read_text()
    assert hermes("serve", "--config", settings, "--data", tmp_path, "--check").code == 0


def unit(key: str) -> list[str]:
    """Values of a key of the unit."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def test_systemd_starts_what_the_command_takes(hermes, tmp_path):
    (command,) = unit("ExecStart")
    program, *words = shlex.split(command)
    assert program == "/opt/hermes-stream/bin/hermes"
    assert unit("StateDirectory") == ["hermes-stream"]
    places = {
        "/etc/hermes-stream/settings.toml": str(DEPLOY / "settings.toml"),
        "/var/lib/hermes-stream": str(tmp_path / "data"),
    }
    assert set(places) <= set(words)
    run = check(hermes, words, tmp_path, **places)
    assert (run.code, run.document["faults"]) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong(tmp_path):
    text = UNIT.read_text(encoding="utf-8").replace("/opt/hermes-stream/bin/hermes", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    command = ["systemd-analyze", "verify", str(tmp_path / UNIT.name)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in (run.stdout + run.stderr).splitlines() if UNIT.stem in line]
    assert (run.returncode, ours) == (0, [])
    (tmp_path / UNIT.name).write_text(text.replace("[Install]", "Restarts=never\n[Install]"))
    broken = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "Restarts" in broken.stderr


def instructions(name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def test_what_the_image_copies_is_there():
    copied = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert "deploy/install.sh" in copied
    assert all((ROOT / word).exists() for word in copied)
    assert (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")[1] == ".git"


def test_image_and_trial_install_with_the_same_script():
    assert any("sh /wheels/install.sh /wheels /wheels/constraints.txt" in one for one in instructions("RUN"))
    trial = (DEPLOY / "try.sh").read_text(encoding="utf-8")
    assert 'sh "$root/deploy/install.sh" "$work/wheels" "$root/constraints.txt"' in trial
    assert not re.search(r"pip install (?!build)", trial)
    for script in DEPLOY.glob("*.sh"):
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_the_image_starts_what_the_command_takes(hermes, monkeypatch, tmp_path):
    assert instructions("ENTRYPOINT") == ['["hermes"]']
    words = json.loads(instructions("CMD")[0])
    (variables,) = (dict(re.findall(r"(\w+)=(\S+)", line)) for line in instructions("ENV"))
    assert variables["HERMES_DATA_DIR"] == instructions("VOLUME")[0] == "/data"
    for name, value in variables.items():
        if name.startswith("HERMES_"):
            monkeypatch.setenv(name, value)
    run = check(hermes, words, tmp_path)
    assert (run.code, run.document["faults"]) == (0, [])


def test_the_image_knows_whether_it_lives(tmp_path):
    (health,) = instructions("HEALTHCHECK")
    command = json.loads(health.partition(" CMD ")[2])
    assert f":{instructions('EXPOSE')[0]}/health/live" in command[-1]
    with serving(tmp_path / "data") as served:
        port = served.url.rpartition(":")[2]
        now = [sys.executable, *command[1:-1], command[-1].replace(":8000/", f":{port}/")]
        assert subprocess.run(now, check=False).returncode == 0
    assert subprocess.run(now, check=False, capture_output=True).returncode != 0


def test_the_composition_builds_mounts_and_starts_what_is_there(hermes, tmp_path):
    composition = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    (service,) = composition["services"].values()
    assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
    assert (ROOT / service["build"]["dockerfile"]).is_file()
    mounts = {target: source for source, target, *_ in (one.split(":") for one in service["volumes"])}
    assert mounts["/data"] in composition["volumes"]
    settings = DEPLOY / mounts["/settings.toml"]
    run = check(hermes, service["command"], tmp_path, **{"/settings.toml": str(settings)})
    assert (run.code, run.document["faults"]) == (0, [])
    (ports,) = service["ports"]
    assert ports.split(":") == ["127.0.0.1", "8000", instructions("EXPOSE")[0]]


def test_a_service_reaches_no_encoder_of_video_but_one_of_a_free_licence():
    """docs/licences.md promises it: what encodes H.264 is for files, tests and demonstrations."""
    package = ROOT / "src" / "hermes_stream"
    encoding = {"hermes_stream.video.writing", "hermes_stream.video.rtsp", "write_video", "RtspServer"}
    encoders = {f for f in (package / "video").rglob("*.py") if "libx26" in f.read_text(encoding="utf-8")}
    assert {str(file.relative_to(package / "video")) for file in encoders} == {
        *("writing.py", "codecs.py", "rtsp/packets.py")
    }
    clips = (package / "video" / "cutting.py").read_text(encoding="utf-8")
    assert [line.strip() for line in clips.splitlines() if "write_video(" in line] == [
        'write_video(target, frames, fps=fps, crf=_CRF, encoder="libvpx-vp9")'
    ]
    files = [
        file
        for room in ("service", "server", "stream", "video/sources")
        for file in (package / room).rglob("*.py")
    ]
    assert len(files) > 50
    for file in [*files, package / "cli" / "serve.py"]:
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        imported |= {
            alias.name
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not {one for one in imported if one and one.startswith(tuple(encoding))}, file
