"""Lists of policies and models that are stored, so that no command imports torch to print one.

``python -m hermes_stream.cli.stored_lists`` writes them anew; a test compares them with what they describe.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes_stream.policies import MemoryPolicy

POLICIES_FILE, MODELS_FILE = "policies.json", "models.json"
_FOLDER = Path(__file__).parent


def read_list(file: str) -> dict[str, Any]:
    """Return a stored list.

    Args:
        file: ``POLICIES_FILE`` or ``MODELS_FILE``.
    """
    stored: dict[str, Any] = json.loads((_FOLDER / file).read_text(encoding="utf-8"))
    return stored


def describe_policy(make: Callable[..., MemoryPolicy]) -> dict[str, Any]:
    """Return a policy's facts, its defaults, and in which of them a preset differs from its class."""
    policy = make()
    plain, own = asdict(type(policy)()), asdict(policy)  # type: ignore[call-overload]
    # A budget that is left open is no difference: every command fills in the model's.
    preset = {key: value for key, value in own.items() if value != plain[key] and key != "budget_tokens"}
    return asdict(policy.facts) | {"preset": preset, "defaults": own}


def describe_policies() -> dict[str, Any]:
    """Return the list of this package's policies and filters, as ``POLICIES_FILE`` stores it."""
    from hermes_stream.filters import FILTERS
    from hermes_stream.policies import POLICIES

    return {
        "policies": [{"name": name, **describe_policy(make)} for name, make in POLICIES.own.items()],
        "filters": [{"name": name, **asdict(make().facts)} for name, make in FILTERS.items()],
    }


def describe_models() -> dict[str, Any]:
    """Return the embedded checkpoints and published sizes, as ``MODELS_FILE`` stores them."""
    from hermes_stream.models.loading.catalogue import list_known

    return {"models": [asdict(entry) for entry in list_known()]}


def _write() -> None:
    for file, document in ((POLICIES_FILE, describe_policies()), (MODELS_FILE, describe_models())):
        (_FOLDER / file).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
