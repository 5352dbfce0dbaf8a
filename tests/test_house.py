"""The laws of the house: who imports whom, how long things are, which words are out of place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hermes_stream"
FILES = sorted(SOURCE.rglob("*.py"))
ROWS = [
    {"errors", "_version"},
    {"memory", "video"},
    {"layout"},
    {"buffers"},
    {"cache", "policies", "filters"},
    {"attention"},
    {"models"},
    {"stream", "tiny"},
    {"evals", "analysis"},
    {"cli", "server"},
]
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
ONLY_IN = {
    "transformers": {"attention", "models", "tiny", "cli"},
    "tokenizers": {"models", "tiny"},
    "av": {"video", "cli"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pydantic": {"server"},
    "fastapi": {"server"},
    "matplotlib": {"analysis"},
}
BANNED_WORDS = {"manager", "helper", "util", "utils", "handler", "process", "info", "misc", "common", "core"}


def home_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def name(file: Path) -> str:
    return str(file.relative_to(SOURCE))


@pytest.mark.parametrize("file", [f for f in FILES if home_of(f) not in ("__init__", "__main__")], ids=name)
def test_a_module_imports_lower_rows_and_its_own_folder(file):
    home = home_of(file)
    for module in imports_of(file):
        top, _, rest = module.partition(".")
        if top == "hermes_stream" and rest:
            other = rest.partition(".")[0]
            assert other == home or ROW_OF[other] < ROW_OF[home], f"{name(file)} imports {module}"
        assert home in ONLY_IN.get(top, {home}), f"{name(file)} imports {module}"
        if home == "memory":
            assert top in {"torch", "jaxtyping", "hermes_stream"} | sys.stdlib_module_names, module
        if home == "video":
            assert top in {"av", "numpy", "hermes_stream"} | sys.stdlib_module_names, module


@pytest.mark.parametrize("file", FILES, ids=name)
def test_files_and_functions_stay_short(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name(file)}: {node.name} is too long"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_words_out_of_place(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {file.stem}
    words = {word.lower() for n in named for word in re.findall(r"[A-Z]?[a-z]+", n)}
    assert not words & BANNED_WORDS, f"{name(file)}: {words & BANNED_WORDS}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nothing_unsafe_and_nothing_left_over(file):
    text = file.read_text(encoding="utf-8")
    for found in ("trust_remote_code=True", "import pickle", "weights_only=False", "TODO", "FIXME", "XXX"):
        assert found not in text, f"{name(file)} contains {found}"
    assert file.stem in ("world",) or not re.search(r"is_tiny|== ['\"]tiny['\"]", text)


def test_no_test_reads_outside_the_repository():
    for file in Path(__file__).parent.rglob("*.py"):
        if file != Path(__file__):
            assert "shared/" not in file.read_text(encoding="utf-8"), file


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, hermes_stream; print({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_every_public_name_can_be_imported():
    import hermes_stream

    for public in hermes_stream.__all__:
        assert getattr(hermes_stream, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hermes_stream.nothing
