"""What names in a module stand for: where they come from, and which texts an expression may be."""

from __future__ import annotations

import ast
from functools import cache

from tests.house.tree import Module


@cache
def origins_of(module: Module) -> dict[str, str]:
    """Return what each imported name stands for, as a dotted name; plain assignments of one are followed."""
    origins: dict[str, str] = {}
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                origins[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            origins |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
    for node in module.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute):
            origin = dotted(node.value, origins)
            if origin is not None:
                origins |= {target.id: origin for target in node.targets if isinstance(target, ast.Name)}
    return origins


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """Return the module that a ``from ... import`` names, relative ones made absolute."""
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def dotted(node: ast.AST, origins: dict[str, str]) -> str | None:
    """Return the dotted name that ``a.b.c`` stands for, or None unless ``a`` is imported."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in origins:
        return None
    return ".".join([origins[node.id], *reversed(attributes)])


@cache
def _assigned(module: Module) -> dict[str, list[ast.expr]]:
    values: dict[str, list[ast.expr]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
            if node.value is not None:
                values.setdefault(node.target.id, []).append(node.value)
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            values.setdefault(node.target.id, []).append(node.iter)
    return values


def texts_of(node: ast.expr, module: Module, *, depth: int = 6) -> list[str] | None:
    """Return the texts that an expression may be; one that is known in its beginning alone ends in ``*``.

    None is returned for what cannot be read from the source.
    """
    if depth == 0:
        return None
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Name(id="__name__"):
            return [module.name]
        case ast.Name(id="__package__"):
            return [module.package]
        case ast.Name(id=name):
            parts = _assigned(module).get(name, [])
        case (
            ast.Subscript(value=held)
            | ast.Call(func=ast.Attribute(value=held, attr="get" | "values" | "format"))
        ):
            found = texts_of(held, module, depth=depth - 1)
            is_format = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "format"
            )
            return [text.partition("{")[0] + "*" for text in found] if is_format and found else found
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
            pass
        case ast.IfExp(body=body, orelse=orelse):
            parts = [body, orelse]
        case ast.JoinedStr(values=pieces):
            return _joined(pieces, module, depth)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([left, right], module, depth)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            return [text.partition("%")[0] + "*"]
        case _:
            return None
    found = [texts_of(part, module, depth=depth - 1) for part in parts]
    return [text for texts in found if texts for text in texts] if found and None not in found else None


def _joined(pieces: list[ast.expr], module: Module, depth: int) -> list[str] | None:
    """Join the pieces of an f-string or of a sum as far as they can be read."""
    text = ""
    for piece in pieces:
        value = piece.value if isinstance(piece, ast.FormattedValue) else piece
        found = texts_of(value, module, depth=depth - 1)
        if not found or len(found) > 1 or found[0].endswith("*"):
            return [f"{text}{found[0] if found and len(found) == 1 else '*'}"] if text or found else None
        text += found[0]
    return [text]
