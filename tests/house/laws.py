"""The laws: each takes a module and the house, and yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.house.tree import House, Module


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """Where a law is broken, and how."""

    module: Module
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module.path}:{self.line}: {self.text}"


Law = Callable[[Module, House], Iterator[Breach]]
