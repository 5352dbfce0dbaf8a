"""A Ray cluster of two machines that are one: a head that runs no replicas, and a node that does.

What the head must know after its death lies in a folder of its own (RocksDB, which Ray brings along), as it
would on a volume. Only processes that were begun here are ever ended.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hermes_lab.stress.program_family import Program, family
from hermes_stream.server.listening import free_port, is_free

_LOOK_SECONDS = 0.2
_END_SECONDS = 20.0
_NUM_TRIES = 4
_HAS_BEGUN = "Ray runtime started"
_FIRST_PORT, _NUM_PORTS = 20_000, 8_000
_OBJECT_BYTES = 80 * 1024 * 1024


class RayMachines:
    """Begins and kills them.

    Args:
        folder: for what Ray writes; its path must be short, as sockets lie there.
        num_cpus: that the node says it has.

    Attributes:
        address: of the cluster, for ``hermes cluster deploy --address``.
        environment: of programs that speak with it.
    """

    def __init__(self, folder: Path, *, num_cpus: int = 8) -> None:
        # below those of outgoing connections: a node that reaches for a head that is away may get its port
        port = next(port for port in _ports() if is_free("0.0.0.0", port))
        self.address = f"127.0.0.1:{port}"
        self._folder, self._num_cpus = folder, num_cpus
        token = folder / "token"
        token.write_text(secrets.token_hex(32), encoding="ascii")
        token.chmod(0o600)
        # a token of its own: no other program's cluster is met by mistake, and none meets this one
        self.environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self._head_options = ["--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={folder}"]
        self._head_options += ["--include-dashboard=false", f"--ray-client-server-port={_free()}"]
        self._head: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._begun: set[Program] = set()

    @property
    def log(self) -> str:
        """What both have said."""
        return self._said("head")[-3000:] + self._said("node")[-3000:]

    def start(self) -> None:
        """Begin both."""
        self.start_head()
        self._node = self._begin("node", [f"--address={self.address}", f"--num-cpus={self._num_cpus}"])

    def start_head(self) -> None:
        """Begin the head; again, where it was killed."""
        self._head = self._begin("head", self._head_options)

    def kill_head(self) -> None:
        """Kill all of the head at once, as a machine's death does."""
        assert self._head is not None
        for one in self._family(self._head):
            one.kill()
        self._head.wait()
        self._head = None
        # a new machine knows nothing of the former one; here it would take the node's raylet for a head
        (self._folder / "ray_current_cluster").unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing running; safe to repeat."""
        for child in (self._node, self._head):
            if child is not None:
                self._family(child)
                child.terminate()
                try:
                    child.wait(_END_SECONDS)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        for one in self._begun:
            one.kill()
        self._head = self._node = None

    def _begin(self, name: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin one, again where it gives up: Ray gives its own parts 30 s, too few for a busy machine."""
        for _ in range(_NUM_TRIES):
            num_before = self._said(name).count(_HAS_BEGUN)
            child = self._run(name, options)
            if self._has_begun(name, child, num_before):
                return child
        raise RuntimeError(f"Ray did not begin: {self.log}")

    def _run(self, name: str, options: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
        command += ["--disable-usage-stats", *options]
        command += [f"--object-store-memory={_OBJECT_BYTES}"]
        command += [f"--{port}={_free()}" for port in ("dashboard-agent-listen-port", "metrics-export-port")]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _environment(self) -> dict[str, str]:
        own = {
            "RAY_gcs_storage": "rocksdb",
            "RAY_gcs_storage_path": str(self._folder / "gcs"),
            "RAY_worker_niceness": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        return {**self.environment, **own}

    def _has_begun(self, name: str, child: subprocess.Popen[bytes], num_before: int) -> bool:
        """Wait until it says so, or ends."""
        while child.poll() is None:
            self._family(child)  # so that all of it is ended later
            if self._said(name).count(_HAS_BEGUN) > num_before:
                return True
            time.sleep(_LOOK_SECONDS)
        return False

    def _said(self, name: str) -> str:
        path = self._folder / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _family(self, child: subprocess.Popen[bytes]) -> list[Program]:
        """Return a program and all that it has begun."""
        found = family(child.pid)
        self._begun |= set(found)
        return found


def _free() -> int:
    return free_port("127.0.0.1")


def _ports() -> Iterator[int]:
    first = secrets.randbelow(_NUM_PORTS)
    return (_FIRST_PORT + (first + k) % _NUM_PORTS for k in range(_NUM_PORTS))
