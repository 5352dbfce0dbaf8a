"""What checks shapes in signatures during the tests: beartype, for the tensors in them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def check_shapes(function: Callable) -> Callable:
    """Check the tensors that a function takes and returns; what else it takes is the type checker's business.

    Protocols and names that are imported for the type checker alone cannot be checked while a program runs.
    """
    hints = {
        name: _shape_of(hint, function) for name, hint in getattr(function, "__annotations__", {}).items()
    }
    hints = {name: hint for name, hint in hints.items() if hint is not None}
    if not hints:
        return function
    function.__annotations__ = hints
    return beartype(function)


def _shape_of(hint: Any, function: Callable) -> Any:
    """Return an annotation that holds the shape of a tensor, or None."""
    if isinstance(hint, str):
        try:
            hint = eval(hint, getattr(function, "__globals__", {}))
        except NameError:
            return None
    return hint if _holds_array(hint) else None


def _holds_array(hint: Any) -> bool:
    is_array = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return is_array or any(_holds_array(part) for part in get_args(hint))
