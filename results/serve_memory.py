"""What `hermes serve` takes of host memory with the embedded model: python results/serve_memory.py.

A service is started for each number of streams, a picture is pushed to each stream every second, and at the
end one question is asked of each. Resident bytes are those of the service alone, as Linux counts them; the
pictures come from this process. Run it with a Python that has ``hermes-stream[server,mcp]`` and no more: what
transformers finds it loads. Stored as ``serve_memory.json``, which is written anew after every run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import FOLDER, machine

from hermes_stream.client import Client
from hermes_stream.errors import OverloadedError
from hermes_stream.synthetic.world import generate_world
from hermes_stream.video.jpeg import encode_jpeg

SEED = 7000
PICTURE_PIXELS = 480
QUESTION = "what is on screen now?"
SMALL = FOLDER.parent / "deploy" / "settings.small.toml"
TWO_ARENAS = {"MALLOC_ARENA_MAX": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a service is started.

    Attributes:
        name: in the table.
        settings: file, None for none.
        environment: beside this process's own.
        numbers: of streams.
    """

    name: str
    settings: Path | None
    environment: dict[str, str]
    numbers: tuple[int, ...]


PROFILES = (
    Profile(name="default", settings=None, environment={}, numbers=(1, 8, 32)),
    Profile(name="small", settings=SMALL, environment={}, numbers=(1, 8, 32)),
    Profile(name="default, two arenas", settings=None, environment=TWO_ARENAS, numbers=(32,)),
)


def resident(pid: int) -> dict[str, int]:
    """Return what a process has in memory now, and had at most, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    named = {"VmRSS": "resident_bytes", "VmHWM": "peak_bytes", "RssAnon": "anonymous_bytes"}
    pairs = (line.partition(":") for line in lines)
    return {named[name]: int(value.split()[0]) << 10 for name, _, value in pairs if name in named}


@contextmanager
def served(profile: Profile, folder: Path) -> Iterator[tuple[int, str]]:
    """Start a service, yield its process and address, and end it as a supervisor would."""
    words = ["--port", "0", "--data", str(folder / "data"), "--json"]
    words += [] if profile.settings is None else ["--config", str(profile.settings)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hermes_stream", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment | profile.environment,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError((folder / "log").read_text(encoding="utf-8"))
        yield process.pid, json.loads(line)["url"]
        process.terminate()
        if process.wait(60) != 0:
            raise RuntimeError(f"the service ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()


def pushed(client: Client, names: list[str], *, seconds: int) -> dict[str, int]:
    """Push a picture a second to every stream, in real time; one that is refused is counted."""
    pictures = [
        encode_jpeg(one.image) for one in generate_world(SEED, seconds).frames(1, size=PICTURE_PIXELS)
    ]
    num_sent = num_refused = 0
    began = time.monotonic()
    for second, picture in enumerate(pictures):
        time.sleep(max(0.0, began + second - time.monotonic()))
        for name in names:
            try:
                client.push(name, picture, float(second))
                num_sent += 1
            except OverloadedError:
                num_refused += 1
    return {"num_sent": num_sent, "num_refused": num_refused}


def measured(profile: Profile, num_streams: int, *, seconds: int) -> dict[str, Any]:
    """Return what a service takes at its start, while streams run, and after questions."""
    names = [f"camera-{number}" for number in range(num_streams)]
    with TemporaryDirectory() as folder, served(profile, Path(folder)) as (pid, url), Client(url) as client:
        started = resident(pid)
        for name in names:
            client.open_stream(name)
        sent = pushed(client, names, seconds=seconds)
        watched = resident(pid)
        for name in names:
            client.ask(name, QUESTION, max_new_tokens=8)
        streams = [client.stream(name).document for name in names]
        return {
            "profile": profile.name,
            "num_streams": num_streams,
            "start_resident_bytes": started["resident_bytes"],
            "watching_resident_bytes": watched["resident_bytes"],
            **resident(pid),
            "num_threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
            **sent,
            "num_frames": sum(one["num_frames"] for one in streams),
            "num_dropped_frames": sum(sum(one["dropped"].values()) for one in streams),
            "cache_bytes_per_stream": streams[0]["memory"]["cache_bytes"],
            "load_average": os.getloadavg()[0],
        }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long pictures are pushed")
    parser.add_argument("--out", type=Path, default=FOLDER / "serve_memory.json")
    arguments = parser.parse_args()
    document: dict[str, Any] = {
        "machine": machine(),
        "model": "tiny",
        "seed": SEED,
        "seconds": arguments.seconds,
        "picture_pixels": [PICTURE_PIXELS, PICTURE_PIXELS],
        "profiles": [
            asdict(one) | {"settings": None if one.settings is None else one.settings.name}
            for one in PROFILES
        ],
        "runs": [],
    }
    for profile in PROFILES:
        for number in profile.numbers:
            document["runs"].append(measured(profile, number, seconds=arguments.seconds))
            arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
