"""``hermes serve`` as a program of its own: started, waited for, killed, started again over one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hermes_stream.client import Client
from hermes_stream.errors import HermesError
from hermes_stream.server.listening import free_port

_END_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_NUM_LOOKS = 6000


class ServedProgram:
    """Starts and kills the real program; one at a time.

    Args:
        data_dir: folder of the service.
        options: further words of the command line, the same at each start.

    Attributes:
        data_dir: folder of the service.
        url: where it listens, the same at each start.
        killed_at: when it was killed last, seconds since 1970.
    """

    def __init__(self, data_dir: Path, options: Sequence[str]) -> None:
        port = free_port("127.0.0.1")
        self.data_dir, self.url = data_dir, f"http://127.0.0.1:{port}"
        self.killed_at = 0.0
        self._log = data_dir.with_suffix(".log")
        # SIGABRT then tells what each thread does
        self._command = [sys.executable, "-X", "faulthandler", "-m", "hermes_stream", "serve"]
        self._command += ["--data", str(data_dir)]
        self._command += ["--port", str(port), *options]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, first_options: Sequence[str] = ()) -> float:
        """Start it; return when that was, in seconds since 1970. It is not waited for.

        Args:
            first_options: words of the command line for this start alone.
        """
        with self._log.open("ab") as log:
            began = time.time()
            self._child = subprocess.Popen(
                [*self._command, *first_options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return began

    def wait_until_ready(self) -> float:
        """Wait until it takes work; return when that was, in seconds since 1970.

        Raises:
            RuntimeError: it ended, or takes no work in time.
        """
        assert self._child is not None
        with Client(self.url, timeout_seconds=5.0) as client:
            # counted in looks: where all programs are halted for a while, no time has passed for this one
            for _ in range(_NUM_LOOKS):
                if self._child.poll() is not None:
                    raise RuntimeError(f"the program ended with {self._child.returncode}: {self.log[-2000:]}")
                try:
                    client.health()
                except HermesError:
                    time.sleep(_LOOK_SECONDS)
                else:
                    return time.time()
        self._child.send_signal(signal.SIGABRT)
        self._child.wait()
        raise RuntimeError(f"the program takes no work after {_NUM_LOOKS} looks: {self.log[-8000:]}")

    def kill(self) -> None:
        """Kill it: nothing is flushed, closed or told."""
        assert self._child is not None
        self.killed_at = time.time()
        self._child.kill()
        self._child.wait()
        self._child = None

    def end(self) -> int:
        """Ask it to end as a supervisor does; return its exit status."""
        assert self._child is not None
        self._child.terminate()
        status = self._child.wait(_END_SECONDS)
        self._child = None
        return status

    @property
    def log(self) -> str:
        """What it has said, in all its lives."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def close(self) -> None:
        """Leave nothing running; safe to repeat."""
        if self._child is not None:
            self.kill()


def low_priority() -> None:
    """Let this program and what it starts give way to others, where the system can."""
    if hasattr(os, "nice"):
        os.nice(max(0, 10 - os.nice(0)))
