"""A built wheel works away from the clone: it carries the embedded checkpoint and runs the demo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


def test_the_wheel_is_complete_and_small(installed):
    package = installed / "hermes_stream"
    assert (package / "py.typed").exists()
    weights = package / "tiny" / "weights"
    assert sum(file.stat().st_size for file in weights.iterdir()) < 12e6
    assert not list(installed.glob("tests"))
    license_file = next(installed.glob("*.dist-info/licenses/LICENSE"))
    assert "Apache License" in license_file.read_text()


def test_the_demo_runs_from_the_wheel(installed, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import hermes_stream; "
        f"assert hermes_stream.__file__.startswith({str(installed)!r}); "
        "from hermes_stream.cli import main; sys.exit(main(['demo', '--seconds', '20', '--json']))"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    result = json.loads(out.stdout.splitlines()[-1])
    assert result["num_questions"] >= 30
    assert 0 <= result["accuracy"] <= 1
