"""Pages say what the stored results say; links lead somewhere, code runs, commands parse."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image

from hermes_lab.training.shapes import SHAPES
from hermes_stream import Frame
from hermes_stream.cli.app import app
from hermes_stream.filters import FILTERS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("docs", "examples", "integrations")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")),
]
CHECKPOINT = "HuggingFaceTB/SmolVLM2-256M-Video-Instruct"
CLIP = Path(__file__).parent / "data/media/h265_video.mp4"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize(
    "script",
    [
        *("tables.py", "evidence.py", "readme.py", "real_weights_page.py", "licences.py", "operations.py"),
        *("record_page.py", "watches_page.py"),
    ],
)
def test_a_page_is_what_its_script_writes(script):
    run = subprocess.run(
        [sys.executable, str(RESULTS / script), "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, ""), f"run python results/{script}"


def test_the_commands_of_the_page_make_the_stored_tables_of_sentences(tmp_path):
    page = (ROOT / "docs" / "real-weights.md").read_text(encoding="utf-8")
    commands = re.findall(r"^nice -n 15 python results/(sentences\.py .*)$", page, re.MULTILINE)
    stored = json.loads((RESULTS / "sentences.json").read_text(encoding="utf-8"))
    out = shutil.copy(RESULTS / "sentences.json", tmp_path)
    made = set()
    for command in commands:
        script, *options = shlex.split(command.replace("results/sentences.json", str(out)))
        run = subprocess.run(
            [sys.executable, str(RESULTS / script), *options], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert not re.search(r"^\d+/\d+ ", run.stdout, re.MULTILINE), "a story was not watched yet"
        made |= asked_by(script, options)
    anew = json.loads(Path(out).read_text(encoding="utf-8"))
    assert anew["scores"] == stored["scores"]
    assert made == {(one["times"], one["policy"]) for one in stored["scores"]}


def asked_by(script, options):
    """Return which policies a script's command asks at which lengths."""
    program = "import itertools, json, sys; from pathlib import Path; sys.path.insert(0, sys.argv.pop(1)); "
    program += "import sentences; a = sentences.parse(); "
    program += "print(json.dumps(list(itertools.product(a.times, a.policies))))"
    run = subprocess.run(
        [sys.executable, "-c", program, str(RESULTS), *options], capture_output=True, text=True, check=True
    )
    return {tuple(one) for one in json.loads(run.stdout)}


def test_stored_sizes_are_those_of_the_shapes():
    stored = json.loads((RESULTS / "published.json").read_text(encoding="utf-8"))["sizes"]
    assert list(stored) == list(SHAPES), "run python results/published.py"
    for name, shape in SHAPES.items():
        assert stored[name]["weight_bytes"] == 2 * shape.num_parameters
        assert stored[name]["kv_bytes_per_token"] == shape.kv_bytes_per_token


def test_the_readme_is_short():
    assert len(README.encode()) <= 7000


def test_the_readme_states_no_figure_by_hand():
    written = re.sub(r"<!-- (\w+) .*?<!-- end -->|```.*?```|`[^`]*`|\]\([^)]*\)", "", README, flags=re.DOTALL)
    figures = set(re.findall(r"\d[\d.,]*", written))
    assert {figure.rstrip(".,") for figure in figures} == {
        "2601.14724",  # the paper
        "3.11",  # Python
        "16",  # bits
        "95",  # % of an interval
        "2.0",  # licence
    }


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as Markdown's readers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@each_page
def test_named_results_are_stored(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"results/[\w/-]+\.(?:json|py)\b", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def blocks(page: Path, language: str) -> list[str]:
    """Code of a page in one language; "" for that in none."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@each_page
def test_commands_parse(page):
    hermes = typer.main.get_command(app)
    lines = "\n".join(blocks(page, "")).replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith(("hermes ", ".venv/bin/hermes "))]
    for line in commands:
        _, name, *arguments = shlex.split(line, comments=True)
        with typer.Context(hermes) as context:
            command = hermes.get_command(context, name)
        assert command is not None, line
        command.make_context(name, arguments)


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """What the snippets take for granted: a clip in this folder, and things of the reader's own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CLIP, "clip.mp4")
    image = np.full((96, 96, 3), 30, dtype=np.uint8)
    image[32:64, 32:64] = (220, 40, 40)
    frames = [Frame(pts_seconds=float(k), image=image) for k in range(20)]
    return {
        "array": np.stack([image] * 50),
        "image": image,
        "picture": Image.fromarray(image),
        "frames": frames,
        "other_frames": frames,
        "cameras": lambda: (
            (name, frame.pts_seconds, frame.image) for frame in frames for name in ("door", "yard")
        ),
        "someone_asks": iter([*[False] * 10, True, *[False] * 29]).__next__,
    }


def test_snippets_of_the_readme_run(surroundings, capsys):
    for code in blocks(ROOT / "README.md", "python"):
        exec(compile(code.replace(CHECKPOINT, "tiny"), "README.md", "exec"), surroundings)
    out = capsys.readouterr().out.splitlines()
    assert "ms to the first token" in out[0]
    assert out[-1] == "door blue square"  # the array is RGB, and the page takes it for a camera's BGR


def test_snippets_of_the_page_on_python_run(surroundings, capsys):
    for code in blocks(ROOT / "docs/python.md", "python"):
        exec(compile(code, "python.md", "exec"), surroundings)
    *_, answered, of_engine = capsys.readouterr().out.splitlines()
    assert answered.startswith("blue square")
    assert of_engine == "['red square', 'red square']"


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_has_a_row_on_its_page(name):
    assert f"| `{name}` |" in (ROOT / "docs/policies.md").read_text(encoding="utf-8")
