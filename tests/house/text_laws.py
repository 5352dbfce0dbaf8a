"""Laws of what stands in the text: nothing left over, and nowhere "is it tiny"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.laws import Breach
from tests.house.tree import PRODUCT, House, Module

_LEFT_OVER = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
_TINY = re.compile(r"(?<![a-z])tiny(?![a-z])", re.IGNORECASE)
# The table of the embedded checkpoints, and where it may lie.
_TABLE = "EMBEDDED"
_ROOMS_OF_TABLE = (f"{PRODUCT}.models.loading.", f"{PRODUCT}.tiny")
_QUESTIONS = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "find", "rfind", "index", "rindex", "count"),
    *(
        "match",
        "full_match",
        "fullmatch",
        "search",
        "findall",
        "finditer",
        "fnmatch",
        "fnmatchcase",
        "compile",
    ),
    *(
        "split",
        "rsplit",
        "partition",
        "rpartition",
        "replace",
        "eq",
        "ne",
        "contains",
        "__eq__",
        "__contains__",
    ),
    *("is_relative_to", "relative_to", "get", "isdisjoint", "issubset", "intersection"),
}


def nothing_is_left_over(module: Module, house: House) -> Iterator[Breach]:
    """No note of what is still to do."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if found := _LEFT_OVER.search(line):
            yield Breach(module=module, line=number, text=found.group(1))


def nobody_asks_whether_it_is_tiny(module: Module, house: House) -> Iterator[Breach]:
    """The names of embedded checkpoints stand in one table, and no code tells them from others."""
    table = _table(module)
    exempt = {id(n) for statement in table for n in ast.walk(statement)}
    names = (_bound_to_tiny(module) - {_TABLE}) | (set() if table else {_TABLE})
    for node in module.nodes:
        if id(node) not in exempt and (text := _asks(node, names)):
            yield Breach(
                module=module, line=getattr(node, "lineno", 1), text=f"asks whether it is tiny: {text}"
            )


def _table(module: Module) -> list[ast.stmt]:
    """Return the statement of the table of embedded checkpoints, where this is its module."""
    if not module.name.startswith(_ROOMS_OF_TABLE):
        return []
    return [
        n for n in module.tree.body if isinstance(n, ast.AnnAssign | ast.Assign) and _TABLE in ast.unparse(n)
    ]


def _bound_to_tiny(module: Module) -> set[str]:
    """Return the names that are assigned, or run over, a text with ``tiny``."""
    bound = set()
    for node in module.nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ):
                targets = [target]
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                targets = [target]
            case _:
                continue
        if _says_tiny(value, set()):
            bound |= {target.id for target in targets if isinstance(target, ast.Name)}
    return bound


def _says_tiny(node: ast.AST, names: set[str]) -> bool:
    """Say whether an expression holds a text with ``tiny``, or a name that stands for one."""
    return any(
        (isinstance(n, ast.Constant) and isinstance(n.value, str) and _TINY.search(n.value) is not None)
        or (isinstance(n, ast.Name) and n.id in names)
        or (isinstance(n, ast.Attribute) and n.attr in names)
        for n in ast.walk(node)
    )


def _asks(node: ast.AST, names: set[str]) -> str | None:
    """Return the source of a node that tells tiny checkpoints from others, or None."""
    found = False
    match node:
        case ast.Compare(left=left, comparators=others):
            found = any(_says_tiny(part, names) for part in (left, *others))
        case ast.Call(func=ast.Attribute(attr=name, value=value), args=args) if name in _QUESTIONS:
            found = any(_says_tiny(part, names) for part in (value, *args))
        case ast.Call(func=ast.Name(id=name), args=args) if name in _QUESTIONS | {"getattr", "hasattr"}:
            found = any(_says_tiny(part, names) for part in args)
        case ast.MatchValue(value=value):
            found = _says_tiny(value, names)
        case ast.Dict(keys=keys):
            found = any(key is not None and _says_tiny(key, names) for key in keys)
        case ast.Subscript(value=value, slice=ast.Constant() | ast.Name() as key):
            found = _says_tiny(key, names) or _says_tiny(value, names)
        case ast.Set(elts=parts):
            found = any(_says_tiny(part, names) for part in parts)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
            found = _names_a_claim(name)
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name):
            found = _names_a_claim(name)
    return ast.unparse(node).splitlines()[0] if found else None


def _names_a_claim(name: str) -> bool:
    """Say whether a name is one such as ``is_tiny``; ``torch.finfo(dtype).tiny`` is none."""
    return _TINY.search(name) is not None and name.strip("_").lower() != "tiny"
