"""Laws of imports: rows, packages from outside, the lab apart, no circles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache

from tests.house.imports import imports_of
from tests.house.laws import Breach
from tests.house.rows import (
    GROUND,
    LAB_COMMANDS,
    LAB_ROOMS,
    PACKAGES,
    PACKAGES_OF_MODULE,
    ROOMS,
    ROW_OF,
    STANDARD,
)
from tests.house.tree import LAB, PRODUCT, House, Module, room_of


def imports_can_be_read(module: Module, house: House) -> Iterator[Breach]:
    """What a module imports stands in its source."""
    for one in imports_of(module, house):
        if one.target is None:
            yield Breach(module=module, line=one.line, text="imports what cannot be read from the source")


def rows_are_kept(module: Module, house: House) -> Iterator[Breach]:
    """A module imports lower rows and its own room; the commands of the lab alone know commands."""
    home = module.room or "__init__"
    if home not in ROOMS and home != "__init__":
        yield Breach(module=module, line=1, text=f"{home} is no room of the house; give it a row in rows.py")
        return
    for one in imports_of(module, house):
        target = one.target or ""
        if target.partition(".")[0] == PRODUCT and target != PRODUCT and not _may_know(home, room_of(target)):
            yield Breach(module=module, line=one.line, text=f"{home} may not import {target}")


def _may_know(home: str, other: str) -> bool:
    """Say whether a room may import another room of the product."""
    if home in LAB_ROOMS or home == f"{LAB}.":
        return other != "cli" or home in LAB_COMMANDS
    return other == home or home == "__init__" or ROW_OF.get(other, len(ROW_OF)) < ROW_OF[home]


def product_knows_no_lab(module: Module, house: House) -> Iterator[Breach]:
    """The product neither imports the lab nor names it; the rooms of the lab do not know its commands."""
    if module.name.partition(".")[0] == LAB:
        for one in imports_of(module, house):
            if module.room not in LAB_COMMANDS and room_of(one.target or "") == f"{LAB}.cli":
                yield Breach(module=module, line=one.line, text=f"{module.room} may not import {one.target}")
        return
    for one in imports_of(module, house):
        if (one.target or "").partition(".")[0].rstrip("*") == LAB:
            yield Breach(module=module, line=one.line, text=f"the product may not import {one.target}")
    for string in module.strings:
        if LAB in string.value:
            yield Breach(module=module, line=string.lineno, text=f"the product may not name {LAB}")


def packages_have_rooms(module: Module, house: House) -> Iterator[Breach]:
    """A package from outside is imported in its rooms alone."""
    home = module.room
    for one in imports_of(module, house):
        package = (one.target or "").partition(".")[0]
        if not package or package in STANDARD or package in (PRODUCT, LAB, "__future__"):
            continue
        ground = GROUND.get(home)
        may = home in PACKAGES.get(package, set()) and (ground is None or package in ground)
        if not may and package not in PACKAGES_OF_MODULE.get(module.name, set()):
            yield Breach(module=module, line=one.line, text=f"{module.name} may not import {package}")


def no_circles(module: Module, house: House) -> Iterator[Breach]:
    """No module reaches itself; imports for the type checker and within functions count."""
    graph = _graph(house)
    came_from: dict[str, str] = {}
    waiting = deque([module.name])
    while waiting:
        name = waiting.popleft()
        for other in sorted(graph.get(name, ())):
            if other == module.name:
                path = [name, other]
                while path[0] != module.name:
                    path.insert(0, came_from[path[0]])
                yield Breach(module=module, line=1, text="imports itself: " + " > ".join(path))
                return
            if other not in came_from:
                came_from[other] = name
                waiting.append(other)


@lru_cache(maxsize=2)
def _graph(house: House) -> dict[str, set[str]]:
    """Return which modules of the house each module imports."""
    return {
        name: {one.target for one in imports_of(module, house) if one.target in house.modules}
        for name, module in house.modules.items()
    }
