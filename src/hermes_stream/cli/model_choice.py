"""A model as a word on the command line: its name, and fields that say how it is loaded.

``tiny``, or ``Qwen/Qwen2.5-VL-7B-Instruct:max_pixels=151200,revision=main``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hermes_stream.cli.fields import read_field, split_fields

_TYPES: dict[str, tuple[type, ...]] = {
    "revision": (str,),
    "device_map": (str, dict),
    "offline": (bool,),
    "min_pixels": (int,),
    "max_pixels": (int,),
}


def read_model(words: str) -> tuple[str, dict[str, Any]]:
    """Read a model's name and the arguments that ``load_model`` takes beside it.

    Args:
        words: ``NAME`` or ``NAME:FIELD=VALUE,...``; what exists as a folder, or has no ``=`` behind its
            colon, is a name as a whole.

    Raises:
        BadParameter: the name is empty, or there is no such field or value.
    """
    name, _, rest = words.partition(":")
    if "=" not in rest or Path(words).expanduser().is_dir():
        name, rest = words, ""
    if not name.strip():
        raise typer.BadParameter(
            "the name is empty; give tiny, a checkpoint folder or a hub name", param_hint="--model"
        )
    return name, dict(_read(one, words) for one in split_fields(rest))


def _read(one: str, words: str) -> tuple[str, Any]:
    name, value = read_field(one, list(_TYPES), words, "--model")
    if name == "revision":
        return name, one.partition("=")[2].strip()  # a commit may look like a number
    if type(value) not in _TYPES[name]:
        accepted = " or ".join(kind.__name__ for kind in _TYPES[name])
        raise typer.BadParameter(f"{words!r}: {name} must be {accepted}, got {value!r}", param_hint="--model")
    return name, value
