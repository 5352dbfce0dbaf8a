"""A model on the command line: its name, and fields that say how it is loaded.

``tiny``, or ``Qwen/Qwen2.5-VL-7B-Instruct:max_pixels=151200,revision=main``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hermes_stream.fields import read_fields

_TYPES: dict[str, tuple[type, ...]] = {
    "revision": (str,),
    "device_map": (str, dict),
    "offline": (bool,),
    "min_pixels": (int,),
    "max_pixels": (int,),
}


def read_model(text: str) -> tuple[str, dict[str, Any]]:
    """Read a model's name and the arguments that ``load_model`` takes beside it.

    Args:
        text: ``NAME`` or ``NAME:FIELD=VALUE,...``; what exists as a folder, or has no ``=`` behind its
            colon, is a name as a whole.

    Raises:
        BadParameter: the name is empty, or there is no such field or value.
    """
    name, _, rest = text.partition(":")
    if "=" not in rest or Path(text).expanduser().is_dir():
        name, rest = text, ""
    if not name.strip():
        raise typer.BadParameter(
            "the name is empty; give tiny, a checkpoint folder or a hub name", param_hint="--model"
        )
    # a commit may look like a number
    try:
        fields = read_fields(rest, _TYPES, strings=["revision"])
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}", param_hint="--model") from error
    for field, value in fields.items():
        if type(value) not in _TYPES[field]:
            accepted = " or ".join(kind.__name__ for kind in _TYPES[field])
            raise typer.BadParameter(
                f"{text!r}: {field} must be {accepted}, got {value!r}", param_hint="--model"
            )
    return name, fields
