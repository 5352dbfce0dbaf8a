"""The examples run as they stand."""

from __future__ import annotations

import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests import fake_cv2
from tests.server.served import jpeg, serving

from hermes_stream import Frame, write_video
from hermes_stream.synthetic.world import generate_world

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIP = str(Path(__file__).parent / "data/media/h265_video.mp4")
NOW = "what is on screen now?"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example in this process; returns the lines that it prints."""
    monkeypatch.setitem(sys.modules, "cv2", fake_cv2)

    def run_example(name: str, *arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run_example


def ask_a_file(run, **_):
    (line,) = run("ask_a_file.py", CLIP, NOW)
    assert line.endswith("ms to the first token)")


def watch_pictures(run, **_):
    lines = run("watch_pictures.py")
    seen = [line.split(": ")[1].split(",")[0] for line in lines]
    assert seen == ["red square", "nothing", "red square", "nothing"]
    assert len({line.split(", ")[-1] for line in lines}) == 1


def watch_many(run, **_):
    lines = run("watch_many.py")
    assert [line.split(":")[0] for line in lines[:4]] == [f"stream {k}" for k in range(4)]
    assert "one more takes" in lines[-1]


def opencv_frames(run, tmp_path, **_):
    image = np.full((96, 96, 3), 30, dtype=np.uint8)
    image[30:66, 30:66] = (220, 40, 40)
    frames = [Frame(pts_seconds=k / 8, image=image) for k in range(40)]
    write_video(tmp_path / "red.mp4", frames, fps=8)
    assert run("opencv_frames.py", str(tmp_path / "red.mp4"), NOW) == ["5 frames watched", "red square"]


def folder_of_pictures(run, tmp_path, **_):
    world = generate_world(5, duration_seconds=20)
    for number, frame in enumerate(world.frames(1)):
        Image.fromarray(frame.image).save(tmp_path / f"{number:03}.png")
    answer, *evidence = run("folder_of_pictures.py", str(tmp_path), "1", NOW)
    on_screen = {str(one.thing) for one in world.on_screen(19)}
    assert answer in on_screen or (answer == "nothing" and not on_screen)
    assert evidence
    assert all(line.endswith(".png") for line in evidence)


def webcam(run, monkeypatch, **_):
    typed = iter([NOW, NOW, ""])

    def type_line(prompt: str) -> str:
        time.sleep(0.5)
        return next(typed)

    monkeypatch.setattr("builtins.input", type_line)
    lines = run("webcam.py")
    assert len(lines) == 2
    assert "nothing was seen yet" not in lines
    assert not fake_cv2.VideoCapture.is_open


def asyncio_app(run, **_):
    lines = run("asyncio_app.py", CLIP)
    assert [line.split(":")[0] for line in lines] == ["kitchen", "hall", "phone"]


def service(run, tmp_path, **_):
    clip, frames = tmp_path / "clip.mp4", list(generate_world(5, duration_seconds=4).frames(4))
    write_video(clip, frames[:5], fps=4)
    (line,) = run("service.py", str(clip), str(tmp_path / "folder"))
    assert " ms; rests on " in line
    write_video(clip, frames, fps=4)  # it has grown meanwhile
    before, line = run("service.py", str(clip), str(tmp_path / "folder"))
    assert before == "remembers until 1.0 s"
    assert "rests on 3.0" in line


def alerts(run, **_):
    first, second, last = run("alerts.py")
    assert (first.split(":")[0], second.split(":")[0], last) == (
        *("incident.new", "incident.update"),
        "incident.end: one id, 1-1",
    )


def push_frames(run, tmp_path, **_):
    with serving(tmp_path / "data") as served:
        pushed, answer = run("push_frames.py", served.url, "desk", CLIP)
        assert pushed == f"{served.service.stream('desk').num_frames} frames pushed"
    assert answer


def openai_client(run, tmp_path, **_):
    with serving(tmp_path / "data") as served:
        served.open_watched("door")
        (line,) = run("openai_client.py", served.url, "door", NOW)
        assert line == served.http.post("/v1/streams/door/ask", json={"question": NOW}).json()["text"]


def compare_policies(run, **_):
    rows = [line.split() for line in run("compare_policies.py", "1")]
    right = {row[0]: int(row[1]) for row in rows}
    assert list(right) == ["hermes", "hermes_paper", "window", "random"]
    assert right["hermes"] > right["window"]


CHECKS = (
    ask_a_file,
    watch_pictures,
    watch_many,
    opencv_frames,
    folder_of_pictures,
    webcam,
    asyncio_app,
    service,
    alerts,
    push_frames,
    openai_client,
    compare_policies,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_example_runs(check, run, tmp_path, monkeypatch):
    check(run, tmp_path=tmp_path, monkeypatch=monkeypatch)


def test_the_shell_example_runs(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(jpeg())
    with serving(tmp_path / "data") as served:
        command = ["sh", str(EXAMPLES / "curl.sh"), served.url, "door", str(tmp_path / "picture.jpg")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count('"text":') >= 2
    assert '"kind":"stream_opened"' in run.stdout


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg program")
def test_ffmpeg_sends_a_video_to_a_service(tmp_path):
    write_video(tmp_path / "story.mp4", generate_world(11, 8).frames(4), fps=4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with serving(tmp_path / "data", chunk_frames=1) as served:
        served.service.open_stream("desk", f"udp://127.0.0.1:{port}", fps=1)
        command = ["sh", str(EXAMPLES / "ffmpeg_push.sh"), str(tmp_path / "story.mp4"), "127.0.0.1", port]
        with subprocess.Popen(command) as sender:
            until = time.monotonic() + 30
            while served.service.stream("desk").num_frames < 3:
                assert time.monotonic() < until, served.service.stream("desk")
                time.sleep(0.1)
            sender.terminate()
        assert served.http.post("/v1/streams/desk/ask", json={"question": NOW}).json()["text"]


def test_the_settings_of_mediamtx_name_what_the_service_reads():
    text = (EXAMPLES / "mediamtx.yml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)
    read = re.findall(r"--source \w+=rtsp://([^/\s]+)/(\w+)", text)
    assert [(settings["rtspAddress"], name) for name in settings["paths"]] == read


def test_every_example_has_a_check_and_a_row():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    shells = [path.name for kind in ("*.sh", "*.yml") for path in EXAMPLES.glob(kind)]
    assert names == {check.__name__ for check in CHECKS}
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"| [{name}]({name}) |" in page for name in [*(f"{name}.py" for name in names), *shells])


@pytest.mark.parametrize("name", ["opencv_frames.py", "webcam.py"])
def test_without_opencv_an_example_says_so(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SystemExit, match="pip install opencv-python-headless"):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
