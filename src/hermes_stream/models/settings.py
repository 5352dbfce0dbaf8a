"""Settings in a checkpoint's JSON files: read by name, checked for type and range."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hermes_stream.errors import ModelError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Settings:
    """Named values of one file. A value that is missing or null is the default that the caller gives.

    Every method raises ``ModelError`` for a value that is not accepted: it names setting, file and value.

    Attributes:
        values: the settings by name.
        source: the file, for messages.
    """

    values: Mapping[str, Any]
    source: str

    def integer(self, name: str, default: Value) -> int | Value:
        """Return a whole number of at least 1."""
        return self._checked(
            name, default, lambda it: type(it) is int and it > 0, "a whole number of at least 1"
        )

    def number(self, name: str, default: float) -> float:
        """Return a number above 0."""
        return float(self._checked(name, default, lambda it: _is_number(it) and it > 0, "a number above 0"))

    def text(self, name: str, default: Value) -> str | Value:
        """Return a text that is not empty."""
        return self._checked(name, default, lambda it: isinstance(it, str) and bool(it.strip()), "a text")

    def channels(self, name: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return a number for each of the three colour channels."""
        red, green, blue = self._checked(
            name,
            default,
            lambda it: isinstance(it, list | tuple) and len(it) == 3 and all(map(_is_number, it)),
            "a list of three numbers",
        )
        return float(red), float(green), float(blue)

    def texts(self, name: str, known: frozenset[str]) -> Mapping[str, str]:
        """Return texts by name; all names must be known."""
        return self._checked(
            name,
            {},
            lambda it: (
                isinstance(it, dict)
                and it.keys() <= known
                and all(isinstance(text, str) for text in it.values())
            ),
            f"texts for {', '.join(sorted(known))}",
        )

    def choice(self, name: str, accepted: Mapping[str | int, Value], default: str | int) -> Value:
        """Return what a value stands for.

        Args:
            name: of the setting.
            accepted: from the values that are accepted to what each stands for.
            default: one of the accepted values.
        """
        known = ", ".join(repr(key) if key == it else f"{key} ({it})" for key, it in accepted.items())
        value = self._checked(name, default, lambda it: isinstance(it, str | int) and it in accepted, known)
        return accepted[value]

    def section(self, name: str) -> Settings:
        """Return the settings nested under a name; none are there by default."""
        values = self._checked(name, {}, lambda it: isinstance(it, dict), "a JSON object")
        return Settings(values, f"{name} in {self.source}")

    def _checked(self, name: str, default: Any, is_good: Callable[[Any], bool], accepted: str) -> Any:
        value = self.values.get(name)
        if value is None:
            return default
        if not is_good(value):
            raise ModelError(f"{name} in {self.source} is {value!r}; accepted: {accepted}")
        return value


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def read_settings(path: Path) -> Settings:
    """Read a file of settings.

    Raises:
        ModelError: the file cannot be read, or holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object, it holds a {type(values).__name__}")
    return Settings(values, str(path))
