"""Settings in a checkpoint's JSON files: read by name, checked for type and range."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from hermes_stream.errors import ModelError

Value = TypeVar("Value")
_MIN_STD = 1e-3
_MAX_CHANNEL = 1000
_MAX_QUOTED = 200


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

    @classmethod
    def of(cls, values: Mapping[str, Any] | Settings, source: str) -> Settings:
        """Return settings as they are, or make them of values whose file is not known by name."""
        return values if isinstance(values, Settings) else cls(values, source)

    def or_else(self, **defaults: Any) -> Settings:
        """Return the same settings, with these for those that are missing or null."""
        given = {name: value for name, value in self.values.items() if value is not None}
        return Settings(defaults | given, self.source)

    def integer(self, name: str, default: Value, *, least: int = 1, most: int | None = None) -> int | Value:
        """Return a whole number from ``least`` to ``most``, both included; None has no upper bound."""
        accepted = f"a whole number of at least {least}" + ("" if most is None else f", at most {most:,}")
        return self._checked(name, default, lambda it: _is_integer(it, least, most), accepted)

    def number(
        self, name: str, default: float, *, least: float | None = None, most: float = math.inf
    ) -> float:
        """Return a number: above 0, or from ``least``, to ``most``, which is included."""
        accepted = "a number above 0" if least is None else f"a number of at least {least:g}"
        accepted += "" if most == math.inf else f", at most {most:g}"

        def is_good(value: object) -> bool:
            return _is_number(value) and (value > 0 if least is None else value >= least) and value <= most

        return float(self._checked(name, default, is_good, accepted))

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return bool(self._checked(name, default, lambda it: isinstance(it, bool), "true, false"))

    def channels(
        self, name: str, default: tuple[float, float, float], *, above_zero: bool = False
    ) -> tuple[float, float, float]:
        """Return a number for each of the three colour channels.

        Args:
            name: of the setting.
            default: taken if there is none.
            above_zero: 0 and what is below is not accepted.
        """

        def is_good(value: Any) -> bool:
            return (
                isinstance(value, list | tuple)
                and len(value) == 3
                and all(_is_number(it) and abs(it) <= _MAX_CHANNEL for it in value)
                and not (above_zero and min(value) < _MIN_STD)
            )

        accepted = "a list of three numbers" + (f", each at least {_MIN_STD:g}" if above_zero else "")
        red, green, blue = self._checked(name, default, is_good, accepted)
        return float(red), float(green), float(blue)

    def token_ids(self, name: str) -> tuple[int, ...]:
        """Return one or several token numbers; none are there by default."""

        def is_good(value: Any) -> bool:
            return _is_integer(value, 0, None) or (
                isinstance(value, list) and all(_is_integer(it, 0, None) for it in value)
            )

        value = self._checked(name, [], is_good, "a token number, or a list of them")
        return tuple(value) if isinstance(value, list) else (value,)

    def text(self, name: str, default: Value) -> str | Value:
        """Return a text that is not empty."""
        return self._checked(name, default, lambda it: isinstance(it, str) and bool(it.strip()), "a text")

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
            raise ModelError(f"{name} in {self.source} is {_quoted(value)}; accepted: {accepted}")
        return value


def _is_number(value: Any) -> TypeGuard[int | float]:
    return type(value) in (int, float) and math.isfinite(value)


def _is_integer(value: Any, least: int, most: int | None) -> bool:
    return type(value) is int and least <= value and (most is None or value <= most)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


def read_settings(path: Path) -> Settings:
    """Read a file of settings.

    Raises:
        ModelError: the file cannot be read, or holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold a JSON object, it holds a {type(values).__name__}")
    return Settings(values, str(path))
