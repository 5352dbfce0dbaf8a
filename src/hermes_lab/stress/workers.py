"""Processes that do one task after another within limits of time and memory."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import selectors
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

_MAX_ADDRESS_BYTES = 6 * 2**30  # a guard for the machine; what counts is memory that is used


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


def answer_tasks(do: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Be the process of a ``Worker``: answer each line of standard input with an outcome and its memory.

    Args:
        do: does a task; what it raises is a traceback, which is an outcome too.
    """
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_BYTES, _MAX_ADDRESS_BYTES))
    for line in sys.stdin:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        try:
            result = do(json.loads(line))
        except BaseException:  # a panic of a library in Rust is no Exception
            result = {"outcome": "traceback", "message": traceback.format_exc(limit=-4)[-1500:]}
        sys.stdout.write(json.dumps(result | {"peak_bytes": _peak_bytes()}) + "\n")
        sys.stdout.flush()


def _peak_bytes() -> int:
    """Return the most memory that this process has had since it was last told to forget."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
