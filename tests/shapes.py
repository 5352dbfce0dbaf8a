"""Shapes in signatures, checked in tests: an import hook that decorates what takes or returns tensors.

jaxtyping's own hook decorates every function, which makes small models twice as slow. This one leaves alone
what names no shape, and checks the tensors of a signature only: protocols and names that are imported for the
type checker are not there while a program runs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import count
from types import CodeType, ModuleType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

_SHAPE = re.compile(r"\[Tensor, ")
_CHECKED_CALLS = 300
_DECORATOR = "_check_shapes"


def check_shapes_of(rooms: Sequence[str]) -> None:
    """Check shapes in the modules of the product's rooms that are imported from now on."""
    sys.meta_path.insert(0, _Finder(tuple(f"hermes_stream.{room}" for room in rooms)))


class _Finder(MetaPathFinder):
    def __init__(self, rooms: tuple[str, ...]) -> None:
        self._rooms = rooms

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(name == room or name.startswith(f"{room}.") for room in self._rooms):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(self.get_data(self.path), filename=self.path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _names_a_shape(node):
                node.decorator_list.append(_decorator(node))
            elif isinstance(node, ast.ClassDef) and any(map(_is_field_with_shape, node.body)):
                node.decorator_list.insert(0, _decorator(node))
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, _DECORATOR, check_shapes)
        super().exec_module(module)


def _names_a_shape(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    hints = [argument.annotation for argument in arguments] + [node.returns]
    return any(hint is not None and _SHAPE.search(ast.unparse(hint)) for hint in hints)


def _is_field_with_shape(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and _SHAPE.search(ast.unparse(node.annotation)) is not None


def _decorator(node: ast.AST) -> ast.Name:
    return ast.copy_location(ast.Name(id=_DECORATOR, ctx=ast.Load()), node)


def check_shapes(checked: Any) -> Any:
    """Check the tensors that a function takes and returns, or that a dataclass is made of."""
    if isinstance(checked, type):
        checked.__init__ = check_shapes(checked.__init__)
        return checked
    hints = {name: _shape_of(hint, checked) for name, hint in checked.__annotations__.items()}
    checked.__annotations__ = {name: hint for name, hint in hints.items() if hint is not None}
    return _sampled(checked, jaxtyped(checked, typechecker=beartype))


def _sampled(function: Callable, checked: Callable) -> Callable:
    """Check the first 300 calls, then every twentieth: what a decoder does in each layer is called often.

    The function that checks always is kept as ``checked``.
    """
    calls = count(1)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        number = next(calls)
        return (checked if number <= _CHECKED_CALLS or number % 20 == 0 else function)(*args, **kwargs)

    call.checked = checked
    return call


def _shape_of(hint: Any, function: Callable) -> Any:
    """Return an annotation that holds the shape of a tensor, or None."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, function.__globals__)
        except NameError:
            return None
    return hint if _holds_array(hint) else None


def _holds_array(hint: Any) -> bool:
    is_array = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return is_array or any(_holds_array(part) for part in get_args(hint))
