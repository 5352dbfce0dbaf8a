"""Ready configurations of uses: one settings file each, in the words that every other settings file has.

A recipe opens no source: it says what is asked, how often frames are taken, and what is kept; ``--source``
says of what. Each begins with what it is for and what it needs, in comments.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hermes_stream.errors import SettingsError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One recipe.

    Attributes:
        name: what it is called.
        path: of its file.
        title: what it is for, in a line.
        about: what it needs and what it does not do, in paragraphs.
        text: of the file.
    """

    name: str
    path: Path
    title: str
    about: tuple[str, ...]
    text: str


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        SettingsError: there is none of that name.
    """
    names = recipe_names()
    if name not in names:
        raise SettingsError(f"there is no recipe {name!r}; recipes: {', '.join(names)}")
    path = _FOLDER / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    title, _, rest = "\n".join(lines).partition("\n")
    paragraphs = (" ".join(one.split()) for one in rest.split("\n\n"))
    return Recipe(name=name, path=path, title=title, about=tuple(filter(None, paragraphs)), text=text)
