"""Flags of a command that are made from classes of settings, so that an option is declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from hermes_stream.service.settings_files import Flag

_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


def with_flags(kinds: Sequence[type[Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator: the command's parameter ``flags`` becomes one option for each field of the classes.

    The command gets what was given, by field; None where a flag was not given, and the file, the environment
    or the default holds.
    """
    from hermes_stream.service.settings_files import flags_of

    declared = [flag for kind in kinds for flag in flags_of(kind)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter.replace(annotation=hint)
            for (name, parameter), hint in zip(
                inspect.signature(command).parameters.items(), _hints(command), strict=True
            )
            if name != "flags"
        ]
        names = {parameter.name for parameter in own}
        shown = [*own, *(_parameter(flag) for flag in declared if flag.name not in names)]

        @wraps(command)
        def run(**given: Any) -> None:
            named = {name: value for name, value in given.items() if name in names}
            flags = {name: _given(value) for name, value in given.items() if name not in names}
            command(**named, flags=flags)

        run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        run.has_plain_help = True  # type: ignore[attr-defined]  # a table cuts off names that are as long
        del run.__wrapped__
        return run

    return decorate


def _given(value: Any) -> Any:
    """Return a flag's value; None where it was not given, as a list may be."""
    return None if value == [] else value


def _hints(command: Callable[..., None]) -> list[Any]:
    from typing import get_type_hints

    hints = get_type_hints(command, include_extras=True)
    return [hints[name] for name in inspect.signature(command).parameters]


def _names(flag: Flag) -> str:
    """Return the option; what is on by default can be switched off, too."""
    is_on = flag.kind is bool and flag.default is True
    return f"{flag.option}/--no-{flag.option.removeprefix('--')}" if is_on else flag.option


def _shown(flag: Flag) -> str:
    """Return choices and default."""
    choices = f" One of {', '.join(flag.choices)}." if flag.choices else ""
    is_plain = flag.default in (None, (), False, True)
    return choices + ("" if is_plain else f" [default: {flag.default}]")


def _parameter(flag: Flag) -> inspect.Parameter:
    """Return an option whose absence is None, so that what stands elsewhere can hold."""
    kind: Any = Literal[flag.choices] if flag.choices else flag.kind
    kind = list[kind] if flag.repeats else kind
    metavar = _METAVARS.get(flag.kind)
    if flag.may_be_off:
        kind, metavar = str, f"{metavar}|off"
    option = typer.Option(
        _names(flag), metavar=metavar, help=f"{flag.text}{_shown(flag)}", show_default=False
    )
    return inspect.Parameter(
        flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )
