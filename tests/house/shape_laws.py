"""Laws of form: lengths, arguments, depth, names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.laws import Breach
from tests.house.names import dotted, origins_of
from tests.house.tree import LAB, PRODUCT, House, Module, functions_of

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 4

# Others decide what these are called with.
_CALLED_FROM_OUTSIDE = {"hermes_stream.attention": {"hermes_attention"}}

_BANNED = {
    *(
        "manager",
        "managers",
        "helper",
        "helpers",
        "util",
        "utils",
        "utility",
        "utilities",
        "handler",
        "handlers",
    ),
    *("process", "data", "info", "infos", "misc", "common", "core"),
}
# Names that are said everywhere as they are.
_STANDARD_NAMES = {"data_dir"}
# Where a config is one of transformers, read from a checkpoint; ours are called options, or are the object.
_CONFIGS = {"config", "configs", "configuration"}
_ROOMS_WITH_CONFIGS = {"models", "attention", "tiny", "hermes_lab.training"}
_VERSION = re.compile(r"_v\d+(_|$)|(?<=[a-z])V\d+(?![a-z0-9])")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def files_and_functions_are_short(module: Module, house: House) -> Iterator[Breach]:
    """A file has 400 lines at most, a function 60."""
    lines = len(module.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield Breach(module=module, line=1, text=f"has {lines} lines, {MAX_FILE_LINES} at most")
    for function in functions_of(module):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            text = f"{function.name} has {lines} lines, {MAX_FUNCTION_LINES} at most"
            yield Breach(module=module, line=function.lineno, text=text)


def arguments_are_few(module: Module, house: House) -> Iterator[Breach]:
    """A function takes four arguments by position at most, besides the object it belongs to."""
    for function in functions_of(module):
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > MAX_POSITIONAL and function.name not in _CALLED_FROM_OUTSIDE.get(module.name, set()):
            text = f"{function.name} takes {count} arguments by position, {MAX_POSITIONAL} at most"
            yield Breach(module=module, line=function.lineno, text=text)


def classes_are_one_deep(module: Module, house: House) -> Iterator[Breach]:
    """A class of ours has at most one base of ours, which has none; errors are a tree of their own."""
    for node in module.nodes:
        if isinstance(node, ast.ClassDef) and module.name != f"{PRODUCT}.errors":
            for base in _own_bases(node, module, house):
                if list(_own_bases(base[1], base[0], house)):
                    text = f"{node.name} is a subclass of a subclass, {base[1].name}"
                    yield Breach(module=module, line=node.lineno, text=text)


def _own_bases(node: ast.ClassDef, module: Module, house: House) -> Iterator[tuple[Module, ast.ClassDef]]:
    """Find the classes of the house, but errors, that a class is made from."""
    origins = origins_of(module)
    for base in node.bases:
        place = base.value if isinstance(base, ast.Subscript) else base
        origin = dotted(place, origins) or (
            f"{module.name}.{place.id}" if isinstance(place, ast.Name) else ""
        )
        home, _, name = origin.rpartition(".")
        found = house.modules.get(home, module if home == module.name else None)
        if found is not None and home != f"{PRODUCT}.errors":
            yield from ((found, n) for n in found.tree.body if isinstance(n, ast.ClassDef) and n.name == name)


def names_are_in_place(module: Module, house: House) -> Iterator[Breach]:
    """What a module defines is not called a manager, a helper, data, ``load_v2``."""
    has_configs = module.room in _ROOMS_WITH_CONFIGS
    for part in (*module.path.parent.parts, module.path.stem):
        if word := _misplaced(part, has_configs=has_configs and part not in _CONFIGS, is_path=True):
            yield Breach(module=module, line=1, text=f"{part} is named {word}")
    for node in module.nodes:
        for name in _names_of(node):
            is_class = isinstance(node, ast.ClassDef)
            if word := _misplaced(name, has_configs=has_configs and not is_class):
                yield Breach(module=module, line=getattr(node, "lineno", 1), text=f"{name} is named {word}")


def folders_are_in_place(house: House) -> Iterator[str]:
    """No folder is named ``utils``, and no package stands beside the two."""
    for folder in sorted(house.folders):
        if word := _misplaced(folder.name, is_path=True):
            yield f"{folder} is named {word}"
        if len(folder.parts) == 1 and folder.name not in (PRODUCT, LAB):
            yield f"{folder} is a package beside {PRODUCT} and {LAB}"


def _names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node of the tree defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case (
            ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store())
        ):
            yield name
        case ast.Call(func=ast.Name(id="setattr"), args=[_, ast.Constant(value=str(name)), *_]):
            yield name
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name


def _misplaced(name: str, *, has_configs: bool = False, is_path: bool = False) -> str | None:
    """Return the word of a name that is out of place, or None."""
    if name.strip("_") in _STANDARD_NAMES:
        return None
    if version := _VERSION.search(name) or (is_path and re.fullmatch(r"v\d+", name)):
        return version.group().strip("_")
    banned = _BANNED if has_configs else _BANNED | _CONFIGS
    return next((word for word in map(str.lower, _WORD.findall(name)) if word in banned), None)
