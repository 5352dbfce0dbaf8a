"""Options that are declared once: a dataclass whose fields become a command's options, words and JSON.

A group is a frozen dataclass with a field for each option, annotated as typer wants it. A command takes the
whole group as one parameter; ``expand_options`` shows its fields to typer instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    import typer


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each parameter that is a group replaced by the group's fields.

    A field that several groups share is one option, and reaches all of them.

    Args:
        command: takes keyword arguments only.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    shown: dict[str, inspect.Parameter] = {}
    for name, own in inspect.signature(command).parameters.items():
        if name in groups:
            shown |= _parameters(groups[name])
        else:
            shown[name] = own.replace(annotation=hints[name])

    @wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: group(**{field.name: given[field.name] for field in fields(group)})
            for name, group in groups.items()
        }
        own = {name: value for name, value in given.items() if name in hints and name not in groups}
        command(**own, **made)

    # typer reads both, and must not find the command behind the wrapper
    run.__signature__ = inspect.Signature(list(shown.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in shown.items()}
    del run.__wrapped__
    return run


def _parameters(group: Any) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return {
        field.name: inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    }


def typed_options(context: typer.Context) -> frozenset[str]:
    """Return which options somebody typed, those too that say what holds without them."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, one in sources.items() if one is not None and one.name == "COMMANDLINE")


def options_given(*groups: Any) -> list[str]:
    """Return the options of these groups that are not as they are by default, such as ``--max-pixels``."""
    return list(
        dict.fromkeys(
            f"--{field.name.replace('_', '-')}"
            for group in groups
            for field in fields(group)
            if getattr(group, field.name) != field.default
        )
    )


def arguments_of(*groups: Any) -> list[str]:
    """Return the words of a command line that give these groups again; defaults are left out."""
    words: dict[str, list[str]] = {}
    for group in groups:
        for field in fields(group):
            value, option = getattr(group, field.name), f"--{field.name.replace('_', '-')}"
            if value != field.default:
                words[option] = [option] if value is True else [option, str(value)]
    return [word for own in words.values() for word in own]
