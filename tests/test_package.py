"""A wheel built from the source distribution works away from the clone: product, laboratory, checkpoints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


@pytest.mark.long
def test_the_wheel_is_complete_and_small(installed):
    package = installed / "hermes_stream"
    assert (package / "py.typed").exists()
    weights = package / "tiny" / "weights"
    assert sum(file.stat().st_size for file in weights.iterdir()) < 12e6
    assert (installed / "hermes_lab" / "cli" / "evaluate.py").exists()
    assert not list(installed.glob("tests"))
    license_file = next(installed.glob("*.dist-info/licenses/LICENSE"))
    assert "Apache License" in license_file.read_text()


def test_the_source_distribution_holds_what_its_pages_link(installed):
    (archive,) = installed.parent.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    for page in sorted(name for name in names if name.endswith(".md") and not name.startswith("tests/")):
        text = re.sub(r"```.*?```|`[^`]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
        links = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
        targets = {(ROOT / page).parent.joinpath(link).resolve().relative_to(ROOT) for link in links - {""}}
        missing = [
            target
            for target in map(str, targets)
            if target not in names and not any(name.startswith(f"{target}/") for name in names)
        ]
        assert not missing, page


def test_the_wheel_names_where_the_project_is(installed):
    metadata = next(installed.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    assert "Project-URL: Paper, https://arxiv.org/abs/2601.14724" in metadata


def test_pages_that_errors_name_are_in_the_wheel(installed):
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src/hermes_stream").rglob("*.py")]
    named = set(re.findall(r"\bpage\([\"']([\w-]+\.md)[\"']\)", "\n".join(sources)))
    assert named
    spec = spec_from_file_location("errors_of_the_wheel", installed / "hermes_stream" / "errors.py")
    errors = module_from_spec(spec)
    spec.loader.exec_module(errors)
    assert all(errors.page(name) == installed / "hermes_stream" / "docs" / name for name in named)


def hermes(installed: Path, folder: Path, *commands: list[str]) -> subprocess.CompletedProcess[str]:
    """Run commands of the wheel one after the other in one process, up to one that fails."""
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import hermes_stream; "
        f"assert hermes_stream.__file__.startswith({str(installed)!r}); "
        f"from hermes_stream.cli import main; sys.exit(next(filter(None, map(main, {list(commands)!r})), 0))"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_lists_and_the_commands_of_the_laboratory_come_with_the_wheel(installed, tmp_path):
    lists = [["policies"], ["policies", "hermes"], ["models"], ["doctor"], ["ask", "--help"], ["--help"]]
    out = hermes(installed, tmp_path, *lists)
    assert (out.returncode, out.stderr) == (0, "")
    assert all(name in out.stdout for name in ("eval", "compare", "score", "bench", "analyze", "world"))


@pytest.mark.long
def test_the_demo_runs_and_a_clip_is_asked_about_from_the_wheel(installed, tmp_path):
    clip = ROOT / "tests" / "data" / "media" / "testsrc2_vp9.webm"
    asking = ["ask", str(clip), "is there an astronaut?", "--at", "0:00.5", "--json"]
    out = hermes(installed, tmp_path, ["demo", "--seconds", "20", "--json"], asking)
    assert out.returncode == 0, out.stderr
    demo, asked = map(json.loads, out.stdout.splitlines()[-2:])
    assert demo["num_questions"] >= 30
    assert 0 <= demo["accuracy"] <= 1
    assert asked["model_knows"] in out.stderr
    assert asked["answers"][0]["unknown_words"] == ["astronaut"]
