"""What every stress script writes beside its numbers: where, with what and how it ran."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hermes_stream.cli.machine import processor, processor_name, versions


def write_record(path: Path | None, script: str, numbers: Mapping[str, Any]) -> None:
    """Write one JSON document, and print it on one line.

    Args:
        path: of the file; None only prints.
        script: name of the module that was run.
        numbers: what was measured, the seed included.
    """
    document = {
        **numbers,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "command": shlex.join(["python", "-m", f"hermes_lab.stress.{script}", *sys.argv[1:]]),
    }
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document) + "\n")
