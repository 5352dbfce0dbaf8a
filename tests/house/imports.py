"""Every import of a module, with the module that it reaches."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.house.names import absolute, dotted, origins_of, texts_of
from tests.house.tree import LAB, PRODUCT, House, Module

_DYNAMIC = {
    "importlib.import_module",
    "importlib.__import__",
    "builtins.__import__",
    "pkgutil.resolve_name",
    "runpy.run_module",
    "sys.modules.get",
    "sys.modules.pop",
}
_FROM_A_FILE = {
    "importlib.util.spec_from_file_location",
    "importlib.machinery.SourceFileLoader",
    "runpy.run_path",
    "importlib.util.module_from_spec",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module that a module reaches.

    Attributes:
        target: its dotted name; one known in its beginning alone ends in ``*``; None where it cannot be read.
        line: where it is imported.
    """

    target: str | None
    line: int


def imports_of(module: Module, house: House) -> list[Import]:
    """Return what a module imports, however it is spelled, names of the house resolved to modules."""
    found = [
        Import(target=target, line=line)
        for base, name, line in _references(module)
        for target in ([base] if name is None or base is None else _resolve(base, name, house))
    ]
    return sorted(found, key=lambda one: one.line)


@cache
def _references(module: Module) -> list[tuple[str | None, str | None, int]]:
    """Return what a module refers to: a module, or None where it cannot be read; a name in it; the line."""
    return [*_statements(module), *_dynamic(module), *_attributes(module)]


def _statements(module: Module) -> Iterator[tuple[str, str | None, int]]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            yield from ((base, alias.name, node.lineno) for alias in node.names)


def _resolve(base: str, name: str, house: House) -> list[str]:
    """Find the modules that ``from base import name`` reaches."""
    if f"{base}.{name}" in house.modules:
        return [f"{base}.{name}"]
    public = _public_names(house.modules[PRODUCT]) if base == PRODUCT else {}
    if name == "*" and public:
        return sorted(set(public.values()))
    return [public.get(name, base)]


@cache
def _public_names(package: Module) -> dict[str, str]:
    """Return where each public name of the product lives, as its type checker is told."""
    return {
        alias.asname or alias.name: node.module
        for node in package.nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _dynamic(module: Module) -> Iterator[tuple[str | None, None, int]]:
    """Find imports made by a call, and modules taken from ``sys.modules``."""
    origins = origins_of(module)
    for node in module.nodes:
        argument, package = None, module.package
        if isinstance(node, ast.Subscript) and dotted(node.value, origins) == "sys.modules":
            argument = node.slice
        elif isinstance(node, ast.Call):
            is_builtin = isinstance(node.func, ast.Name) and node.func.id == "__import__"
            called = "builtins.__import__" if is_builtin else dotted(node.func, origins)
            if called in _FROM_A_FILE:
                yield None, None, node.lineno
            if called in _DYNAMIC:
                argument = node.args[0] if node.args else next((k.value for k in node.keywords), None)
                package = _package_of(node, module)
        if argument is not None:
            for text in texts_of(argument, module) or [None]:
                yield _from_here(text, package), None, node.lineno


def _package_of(call: ast.Call, module: Module) -> str:
    """Return the package that a dynamic import starts from."""
    said = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "package")]
    texts = texts_of(said[0], module) if said else None
    return texts[0] if texts else module.package


def _from_here(text: str | None, package: str) -> str | None:
    """Make a dynamic import's relative name absolute, and drop what it takes from a module."""
    if text is None or text.startswith("*"):
        return None
    name = text.partition(":")[0]
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], name.lstrip(".")])


def _attributes(module: Module) -> Iterator[tuple[str, str, int]]:
    """Find what is reached through a package as an attribute: ``hermes_stream.cli.main``."""
    origins = origins_of(module)
    for node in module.nodes:
        if isinstance(node, ast.Attribute):
            base, _, name = (dotted(node, origins) or "").rpartition(".")
            if base.partition(".")[0] in (PRODUCT, LAB):
                yield base, name, node.lineno
