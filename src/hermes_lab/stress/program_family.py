"""Programs and all that they have begun, told apart from others that get their numbers later (Linux)."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process; its number alone may be another's by now.

    Attributes:
        pid: its number.
        started: when it began, in the system's ticks.
    """

    pid: int
    started: str

    def kill(self) -> None:
        """Kill it, where it is still the same."""
        if _started(self.pid) == self.started:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def family(pid: int) -> list[Program]:
    """Return a process and all that it has begun, those that began them first; none where it is gone."""
    started = _started(pid)
    if started is None:
        return []
    found = [Program(pid=pid, started=started)]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = file.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            found += family(int(child))
    return found


def _started(pid: int) -> str | None:
    """Return when a process began; None where it is gone, or has only to be waited for."""
    try:
        # the name before may hold anything, blanks and brackets too
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
