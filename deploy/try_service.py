"""Run the installed service as a supervisor does: start, push, ask, SIGTERM, start again.

    python deploy/try_service.py DATA_FOLDER

Exits 0 if all is well. Command and client are those of the Python that runs it, not of the clone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hermes_stream
from hermes_stream.client import Client
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video.jpeg import encode_jpeg

QUESTION = "what is on screen now?"
NUM_PICTURES = 8
STOP_SECONDS = 60.0
# of a supervisor, which gives a program little
KEPT_VARIABLES = ("HOME", "LANG", "TMPDIR")


@contextmanager
def served(data: Path) -> Iterator[Client]:
    """Start the service, and end it by SIGTERM.

    Args:
        data: its folder.

    Raises:
        SystemExit: it did not start, or did not end with 0.
    """
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment |= {"HERMES_DATA_DIR": str(data), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [str(Path(sys.executable).with_name("hermes")), "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            sys.exit(f"the service did not start; it ended with {process.wait(STOP_SECONDS)}")
        url = json.loads(line)["url"]
        for path in ("/health/live", "/health/ready", "/metrics"):
            urllib.request.urlopen(f"{url}{path}", timeout=STOP_SECONDS).close()
        with Client(url) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_SECONDS)
        if code != 0:
            sys.exit(f"the service was ended by SIGTERM, and its exit code is {code}")
    finally:
        process.kill()
        process.wait()


def main(data: Path) -> None:
    """Watch a generated story, ask, restart, ask the same again."""
    here = Path(hermes_stream.__file__).resolve()
    if not here.is_relative_to(Path(sys.prefix).resolve()):
        sys.exit(f"{here} is not the installed package; run this outside of a clone, without PYTHONPATH")
    with served(data) as client:
        client.open_stream("door")
        for second, frame in enumerate(generate_world(0, NUM_PICTURES).frames(1)):
            client.push("door", encode_jpeg(frame.image), float(second))
        answer = client.ask("door", QUESTION).text
    if not list((data / "snapshots").rglob("*.safetensors")):
        sys.exit("SIGTERM left no snapshot")
    with served(data) as client:
        stream, again = client.stream("door"), client.ask("door", QUESTION).text
    if (stream.num_frames, again) != (NUM_PICTURES, answer):
        sys.exit(
            f"after the restart: {stream.num_frames} frames and {again!r}; "
            f"before: {NUM_PICTURES} and {answer!r}"
        )
    sys.stdout.write(f"hermes-stream {hermes_stream.__version__} serves, ends and remembers: {answer!r}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
