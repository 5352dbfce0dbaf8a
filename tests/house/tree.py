"""The source as the laws see it: every module parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

SOURCE = Path(__file__).parents[2] / "src"
PRODUCT = "hermes_stream"
LAB = "hermes_lab"


@dataclass(frozen=True, kw_only=True, eq=False)
class Module:
    """One file of Python.

    Attributes:
        path: where it lies below ``src``.
        text: its source.
    """

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @cached_property
    def name(self) -> str:
        """The dotted name it is imported by."""
        parts = self.path.parent.parts if self.is_package else self.path.with_suffix("").parts
        return ".".join(parts)

    @cached_property
    def package(self) -> str:
        """The package that its relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def room(self) -> str:
        """The room that it lies in, such as ``memory`` or ``hermes_lab.bench``."""
        return room_of(self.name)

    @cached_property
    def docstrings(self) -> set[int]:
        """The ids of the constants that are docstrings, or strings that nothing reads."""
        return {
            id(n.value) for n in self.nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
        }

    @cached_property
    def strings(self) -> list[ast.Constant]:
        """Every text constant but docstrings."""
        return [
            n
            for n in self.nodes
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in self.docstrings
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class House:
    """The modules of both packages by name, and the folders they lie in."""

    modules: dict[str, Module]
    folders: frozenset[PurePosixPath]

    def with_file(self, path: str, text: str) -> tuple[House, Module]:
        """Return the house with one more file, or one changed, and that file."""
        module = Module(path=PurePosixPath(path), text=text)
        folders = self.folders | {parent for parent in module.path.parents if parent.parts}
        return House(modules=self.modules | {module.name: module}, folders=folders), module


def room_of(name: str) -> str:
    """Return the room of a dotted name; the packages themselves have none in the product."""
    top, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    return f"{LAB}.{room}" if top == LAB else room


def read_house(source: Path = SOURCE) -> House:
    """Read every module below ``source``; what is not Python counts for the names of folders alone."""
    paths = [path.relative_to(source) for path in source.rglob("*") if "__pycache__" not in path.parts]
    modules = (
        Module(path=PurePosixPath(path), text=(source / path).read_text(encoding="utf-8"))
        for path in paths
        if path.suffix == ".py"
    )
    folders = frozenset(PurePosixPath(path) for path in paths if (source / path).is_dir())
    return House(modules={module.name: module for module in modules}, folders=folders)


def functions_of(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function, nested ones and methods included."""
    return (n for n in module.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
