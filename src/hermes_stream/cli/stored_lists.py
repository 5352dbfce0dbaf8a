"""Lists of policies and models, and what a stream of the default ones takes, stored: no torch to print them.

``python -m hermes_lab.cli.stored_lists`` writes them anew; a test compares them with what they describe.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes_stream.policies import MemoryPolicy

POLICIES_FILE, MODELS_FILE, STREAM_FILE = "policies.json", "models.json", "stream.json"
FOLDER = Path(__file__).parent
_FIELD = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def read_list(file: str) -> dict[str, Any]:
    """Return a stored document.

    Args:
        file: ``POLICIES_FILE``, ``MODELS_FILE`` or ``STREAM_FILE``.
    """
    stored: dict[str, Any] = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return stored


def describe_policy(make: Callable[..., MemoryPolicy]) -> dict[str, Any]:
    """Return a policy's facts, its defaults, and in which of them a preset differs from its class."""
    policy = make()
    plain, own = asdict(type(policy)()), asdict(policy)  # type: ignore[call-overload]
    # A budget that is left open is no difference: every command fills in the model's.
    preset = {key: value for key, value in own.items() if value != plain[key] and key != "budget_tokens"}
    return asdict(policy.facts) | {"preset": preset, "defaults": own}


def describe_fields(made: Any) -> dict[str, Any]:
    """Return what a policy or filter is, and each of its fields, from the object itself."""
    text = inspect.getdoc(type(made)) or ""
    attributes = text.partition("\nAttributes:\n")[2].partition("\n\nRaises:")[0]
    meanings = {field: " ".join(meaning.split()) for field, meaning in _FIELD.findall(attributes)}
    values = asdict(made)
    return {
        "about": text.partition("\n\nAttributes:")[0],
        "fields": [
            {"name": field.name, "default": values[field.name], "meaning": meanings.get(field.name, "")}
            for field in fields(made)
        ],
    }
