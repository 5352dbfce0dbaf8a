"""docs/paper-map.md and the ``Paper:`` tags of docstrings say the same."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "hermes_stream"


def table() -> list[tuple[str, str, str]]:
    """Rows of the map: place in the paper, code, test."""
    lines = (ROOT / "docs" / "paper-map.md").read_text().splitlines()
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")
    ]
    return [(place, code, test) for place, code, test in rows if place != "paper"]


def definitions(path: Path) -> dict[str, str]:
    """Docstring of every function and class of a file, methods under ``Class.method``."""
    found: dict[str, str] = {}

    def visit(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[outer + child.name] = ast.get_docstring(child) or ""
                visit(child, f"{outer}{child.name}.")

    visit(ast.parse(path.read_text()), "")
    return found


def tag(docstring: str) -> str | None:
    """The line that starts with ``Paper:`` at the margin; inside Attributes it only names a source."""
    lines = [line for line in docstring.splitlines() if line.startswith("Paper: ")]
    return lines[0].removeprefix("Paper: ").rstrip(".") if lines else None


def test_every_row_names_code_that_carries_its_tag() -> None:
    assert table()
    for place, code, _ in table():
        file, _, name = code.partition("::")
        assert tag(definitions(PACKAGE / file).get(name, "")) == place, f"{code} should say 'Paper: {place}'"


def test_every_row_names_a_test_that_exists() -> None:
    for _, code, test in table():
        file, _, name = test.partition("::")
        assert name in definitions(ROOT / file), f"{code}: no test {test}"


def test_every_tag_is_in_the_table() -> None:
    mapped = {code: place for place, code, _ in table()}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, docstring in definitions(path).items():
            code = f"{path.relative_to(PACKAGE).as_posix()}::{name}"
            assert mapped.get(code) == tag(docstring), f"docs/paper-map.md and {code} disagree"
