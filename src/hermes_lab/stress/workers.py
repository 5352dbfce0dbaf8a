"""Processes that do one task after another within limits of time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import selectors
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, final

from hermes_stream.cli.machine import processor_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one task may take.

    Attributes:
        seconds: time to do it.
        bytes: resident memory of the process that does it, all of it.
    """

    seconds: float
    bytes: int


@final
class Worker:
    """A process that does one task after another, started again whenever it has died.

    Args:
        module: run with ``-m``; it answers each line of its standard input, a task, with a line: ``outcome``
            and ``peak_bytes``.
        limits: of each task.
        first: a task that is done before the others, without a limit, so that no other waits for imports.
    """

    def __init__(self, module: str, limits: Limits, *, first: dict[str, Any] | None = None) -> None:
        self._module, self._limits, self._first = module, limits, first
        self._child: subprocess.Popen[str] | None = None

    def do(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have a task done within the limits and return the outcome."""
        child = self._child = self._child or self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(task) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            return self._died()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if not selector.select(self._limits.seconds):
                self.close()
                return {"outcome": "hang", "message": f"more than {self._limits.seconds} s"}
        line = child.stdout.readline()
        if not line:
            return self._died()
        result: dict[str, Any] = json.loads(line)
        if result["peak_bytes"] > self._limits.bytes and result["outcome"] != "traceback":
            result |= {"outcome": "memory", "message": f"{result['peak_bytes'] / 1e6:.0f} MB"}
        return result

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _died(self) -> dict[str, Any]:
        assert self._child is not None
        child, self._child = self._child, None
        with contextlib.suppress(BrokenPipeError):
            child.communicate()
        return {"outcome": "crash", "message": f"ended with {child.wait()}"}

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", self._module]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self._first is not None and child.stdin is not None and child.stdout is not None:
            child.stdin.write(json.dumps(self._first) + "\n")
            child.stdin.flush()
            child.stdout.readline()
        return child


def machine() -> dict[str, Any]:
    """Return what a document says of the machine."""
    return {
        "processor": processor_name(),
        "num_processors": os.cpu_count(),
        "system": platform.platform(),
    }
