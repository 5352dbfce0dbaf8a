"""A real broker: mosquitto on the loopback, and who listens to it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest

PROGRAM = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Broker:
    """Mosquitto, which keeps nothing when it ends."""

    def __init__(self, folder: Path, *, user: str | None = None, password: str | None = None) -> None:
        if not Path(PROGRAM).exists():
            pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._file = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root"]
        if user is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, user, password], check=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        self._file.write_text("\n".join(lines) + "\n")
        self._program: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it until it listens."""
        self._program = subprocess.Popen(
            [PROGRAM, "-c", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self) -> None:
        """Kill it."""
        if self._program is not None:
            self._program.kill()
            self._program.wait()
            self._program = None


class Listener:
    """Hears everything that a broker is told, and tells it something."""

    def __init__(self, port: int, **login: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = lambda _, __, message: self.heard.append((message.topic, message.payload))
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def last(self, topic: str) -> bytes | None:
        """Return what was heard last of a topic."""
        return next((payload for own, payload in reversed(self.heard) if own == topic), None)

    def count(self, topic: str) -> int:
        """Return how often something was heard of a topic."""
        return sum(own == topic for own, _ in self.heard)

    def say(self, topic: str, text: str) -> None:
        """Publish."""
        self._client.publish(topic, text, qos=1).wait_for_publish(5)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def listening(port: int, **login: str) -> Iterator[Listener]:
    """Lend a listener."""
    listener = Listener(port, **login)
    try:
        yield listener
    finally:
        listener.close()
