"""Settings from a TOML file, the environment and flags: later ones win; errors say where a value stood."""

from __future__ import annotations

import json
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hermes_stream.errors import SettingsError

PREFIX = "HERMES_"
_MAX_FILE_BYTES = 4 * 1024 * 1024
# Values of these may hold a password, and are never shown; a stream that is no table is an address, mostly.
_SECRETS = ("source", "store", "secret", "password", "key", "streams", "url", "mqtt", "webhooks")
_NOT_FLAGS = (dict,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """An option as the command line has it.

    Attributes:
        name: of the field, the key in files, and with ``HERMES_`` the variable.
        option: with dashes, ``--budget-tokens``.
        kind: bool, int, float, str or Path; of one value where several may be given.
        repeats: whether it may be given several times.
        choices: the only values, where there are such.
        may_be_off: whether the text ``off`` lifts a limit.
        default: what holds without it.
        text: what it is for.
    """

    name: str
    option: str
    kind: type
    repeats: bool
    choices: tuple[str, ...]
    may_be_off: bool
    default: Any
    text: str


def read_settings(
    kinds: Sequence[type[BaseModel]],
    *,
    base: Path | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Any, ...]:
    """Return settings of several classes, read from one file, one environment, one command line.

    Args:
        kinds: classes of settings; no two have a field of the same name.
        base: TOML that lies below all else, such as a recipe; None reads none.
        file: TOML; None reads none.
        environment: ``HERMES_NAME`` is the field ``name``; other variables are not looked at.
        flags: values by field; None where a flag was not given.

    Returns:
        One instance of each class, in their order.

    Raises:
        SettingsError: a name is unknown or a value is not accepted; all faults together.
    """
    owner = {name: kind for kind in kinds for name in kind.model_fields}
    values: dict[str, Any] = {}
    where: dict[str, str] = {}
    faults: list[str] = []
    layers = [
        (_read_file(base), "" if base is None else str(base)),
        (_read_file(file), "" if file is None else str(file)),
        (_read_environment(environment or {}, owner), "the environment"),
        ({name: value for name, value in (flags or {}).items() if value is not None}, "the command line"),
    ]
    for layer, place in layers:
        for name, value in layer.items():
            if name not in owner:
                faults.append(f"{name!r} in {place} is no option; options: {', '.join(sorted(owner))}")
                continue
            values[name], where[name] = value, place
    made = []
    for kind in kinds:
        own = {name: value for name, value in values.items() if owner[name] is kind}
        try:
            made.append(kind.model_validate(own))
        except ValidationError as error:
            faults += [_fault(one, where) for one in error.errors(include_url=False)]
    if faults:
        raise SettingsError("settings are not accepted:\n" + "\n".join(f"- {fault}" for fault in faults))
    return tuple(made)


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise SettingsError(f"{file} is larger than {_MAX_FILE_BYTES} bytes; it is no settings file")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"the settings file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {file} is no TOML: {error}") from error


def _read_environment(environment: Mapping[str, str], owner: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return what the environment says; lists and tables are written there as JSON."""
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        # an unknown variable may be another program's
        if not variable.startswith(PREFIX) or name not in owner:
            continue
        found[name] = text
        if text[:1] in ("[", "{"):
            try:
                found[name] = json.loads(text)
            except ValueError:
                continue
    return found


def _fault(error: ErrorDetails, where: Mapping[str, str]) -> str:
    """Say what is wrong with one value; what may hold a password is not shown."""
    path = [str(part) for part in error["loc"]]
    name = ".".join(path) or "settings"
    place = where.get(path[0], "the settings") if path else "the settings"
    if error["type"] == "extra_forbidden":
        return f"{name} in {place} is no option"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    is_secret = any(word in part.lower() for part in path for word in _SECRETS)
    shown = "" if is_secret or isinstance(given, dict) else f", got {given!r}"
    return f"{name} in {place}: {message}{shown}"


def flags_of(kind: type[BaseModel]) -> tuple[Flag, ...]:
    """Return the flags of a class of settings; tables are for files alone."""
    return tuple(
        flag for name, field in kind.model_fields.items() if (flag := _flag(name, field)) is not None
    )


def _flag(name: str, field: FieldInfo) -> Flag | None:
    kind, repeats = _plain(field.annotation), False
    if get_origin(kind) in (tuple, list):
        kind, repeats = _plain(get_args(kind)[0]), True
    choices: tuple[str, ...] = ()
    if get_origin(kind) is Literal:
        choices = tuple(str(value) for value in get_args(kind))
        kind = type(get_args(kind)[0])
    if get_origin(kind) in _NOT_FLAGS or not isinstance(kind, type) or issubclass(kind, BaseModel):
        return None
    default = field.get_default(call_default_factory=True)
    return Flag(
        name=name,
        option="--" + name.replace("_", "-"),
        kind=kind,
        repeats=repeats,
        choices=choices,
        may_be_off=default is not None and type(None) in get_args(field.annotation),
        default=default,
        text=" ".join((field.description or "").split()),
    )


def _plain(annotation: Any) -> Any:
    """Return a type without ``None`` and without what is only annotated."""
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [one for one in get_args(annotation) if one is not type(None)]
    if hasattr(annotation, "__metadata__"):
        return _plain(get_args(annotation)[0])
    return annotation
