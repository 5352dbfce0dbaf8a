"""Bad input over the network: damaged pictures and messages, thrown at a server that must go on.

A third are damaged JPEGs and PNGs by POST, a third the same as WebSocket messages with damaged times, a third
damaged events of Realtime sessions. Nothing may be answered by 5xx, close a connection that was not itself
broken, or harm what comes after: every hundred cases a good picture must be taken. Exits 1 where that was not
so.

    python -m hermes_lab.stress.server --count 10000 --seed 0 --out results/stress_server.json
"""

from __future__ import annotations

import argparse
import base64
import json
import resource
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from hermes_lab.stress.mutations import mutated
from hermes_lab.stress.record import write_record
from hermes_stream.models import load_model
from hermes_stream.server import Server, ServerSettings
from hermes_stream.service import Service
from hermes_stream.video.jpeg import encode_jpeg

_STREAM = "target"
_PATH = f"/v1/streams/{_STREAM}/frames"
_CHECK_EVERY = 100
_TIMEOUT_SECONDS = 30.0
_SERVER_ERRORS = 500
# Share of messages whose damage lies in the picture alone, so that it comes as far as the decoder.
_OF_CONTENT = 0.6
_EVENTS = (
    {"type": "session.update", "session": {"instructions": "be brief", "hermes": {"num_turns": 2}}},
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "what is on screen?"}]}},
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/jpeg;base64,/9j/4AAQSkZJRg==",
         "hermes": {"pts_us": 5}}]}},
    {"type": "response.create", "response": {"max_output_tokens": 4}},
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "conversation.item.delete", "item_id": "item_1"},
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server under attack.

    Attributes:
        url: of the server.
        http: a client of it.
    """

    url: str
    http: httpx.Client

    @property
    def ws(self) -> str:
        """Address of its WebSockets."""
        return self.url.replace("http", "ws", 1)

    def takes_a_good_picture(self, number: int) -> bool:
        """Tell whether a sound picture is still taken."""
        sent = self.http.post(
            f"{_PATH}?pts_us={number}", content=picture(number), headers=_type("image/jpeg")
        )
        return sent.status_code == 200


def picture(number: int) -> bytes:
    """Return a sound JPEG."""
    image = np.full((96, 128, 3), number % 255, np.uint8)
    image[20:60, 30:70] = (220, 30, 30)
    return encode_jpeg(image)


def _type(kind: str) -> dict[str, str]:
    return {"Content-Type": kind}


def post_damaged(target: Target, rng: np.random.Generator) -> str:
    """Send a damaged picture; return how it was answered."""
    content, _ = mutated(picture(int(rng.integers(255))), rng)
    pts_us = int(rng.choice([0, 1, 10**6, 2**53, int(rng.integers(2**40))]))
    sent = target.http.post(f"{_PATH}?pts_us={pts_us}", content=content, headers=_type("image/jpeg"))
    return _told(sent.status_code, sent.text)


def _told(status: int, text: str) -> str:
    if status >= _SERVER_ERRORS:
        return f"server_error_{status}"
    if status == 200:
        return "taken"
    return "refused_in_words" if json.loads(text)["error"]["message"] else "refused_without_words"


def send_damaged(socket: ClientConnection, rng: np.random.Generator) -> str:
    """Send a damaged message; return how it was answered."""
    time_of = struct.pack(">Q", int(rng.integers(2**40)))
    if rng.random() < _OF_CONTENT:
        content = time_of + mutated(picture(int(rng.integers(255))), rng)[0]
    else:
        content = mutated(time_of + picture(int(rng.integers(255))), rng)[0]
    socket.send(content if rng.random() < 0.95 else content.decode("latin-1"))
    answer = json.loads(socket.recv(timeout=_TIMEOUT_SECONDS))
    return "taken" if "newest_pts_us" in answer else _of_error(answer["error"])


def send_damaged_event(socket: ClientConnection, rng: np.random.Generator) -> str:
    """Send a damaged event of a Realtime session; return how it was answered."""
    if rng.random() < _OF_CONTENT:
        encoded = base64.b64encode(mutated(picture(int(rng.integers(255))), rng)[0]).decode()
        part = {"type": "input_image", "image_url": f"data:image/jpeg;base64,{encoded}"}
        item = {"type": "message", "role": "user", "content": [part]}
        socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    else:
        event = json.dumps(_EVENTS[int(rng.integers(len(_EVENTS)))]).encode()
        socket.send(mutated(event, rng)[0].decode("utf-8", "replace"))
    socket.send('{"type": "session.update", "session": {}, "event_id": "mark"}')
    found = "taken"
    while (answer := json.loads(socket.recv(timeout=_TIMEOUT_SECONDS)))["type"] != "session.updated":
        if answer["type"] == "error":
            found = _of_error(answer["error"])
    return found


def _of_error(error: dict[str, Any]) -> str:
    if error["type"] in ("server_error", "service_unavailable_error"):
        return f"server_error_{error['code']}"
    return "refused_in_words" if error["message"] else "refused_without_words"


class Attack:
    """Throws damage at a server, and counts how it is answered.

    Args:
        target: the server.
        seed: of the damage.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self._target, self._seed = target, seed
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self, count: int) -> None:
        """Run so many cases, a third of each way."""
        for way, (name, throw) in enumerate(self._ways()):
            with throw() as one:
                for number in range(way, count, 3):
                    self._case(name, one, number)

    def _ways(self) -> Sequence[tuple[str, Callable[[], Any]]]:
        return (
            ("post", self._posting),
            ("frames", lambda: self._socket(_PATH, send_damaged)),
            ("realtime", lambda: self._socket(f"/v1/realtime?stream={_STREAM}", send_damaged_event)),
        )

    def _case(self, name: str, throw: Callable[[np.random.Generator], str], number: int) -> None:
        try:
            outcome = throw(np.random.default_rng([self._seed, number]))
        except (httpx.HTTPError, ConnectionClosed, TimeoutError, ValueError, KeyError) as error:
            outcome = f"broke_off_{type(error).__name__}"
        self.outcomes[f"{name}_{outcome}"] += 1
        if not outcome.startswith(("taken", "refused_in_words")):
            self.faults.append(f"{name} {number}: {outcome}")
        if number % _CHECK_EVERY == 0 and not self._target.takes_a_good_picture(number):
            self.faults.append(f"{name} {number}: a good picture was refused afterwards")

    @contextmanager
    def _posting(self) -> Iterator[Callable[[np.random.Generator], str]]:
        yield lambda rng: post_damaged(self._target, rng)

    @contextmanager
    def _socket(
        self, path: str, send: Callable[[ClientConnection, np.random.Generator], str]
    ) -> Iterator[Callable[[np.random.Generator], str]]:
        with connect(self._target.ws + path) as socket:
            yield lambda rng: send(socket, rng)


@contextmanager
def target_of(folder: Path) -> Iterator[Target]:
    """Lend a server with one stream that takes pictures."""
    with (
        Service(load_model("tiny"), folder) as service,
        Server(service, ServerSettings(port=0)).listening(within_seconds=_TIMEOUT_SECONDS) as url,
        httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS) as http,
    ):
        http.post("/v1/streams", json={"name": _STREAM}).raise_for_status()
        yield Target(url=url, http=http)


def attack(count: int, seed: int) -> dict[str, Any]:
    """Run an attack; return its numbers.

    Args:
        count: cases in all.
        seed: of the damage.
    """
    began = time.monotonic()
    with TemporaryDirectory() as folder, target_of(Path(folder)) as target:
        one = Attack(target, seed)
        one.run(count)
        is_live = target.http.get("/health/live").status_code == 200
        question = {"question": "what is on screen now?"}
        answers = target.http.post(f"/v1/streams/{_STREAM}/ask", json=question).status_code == 200
    return {
        "count": count,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "outcomes": dict(sorted(one.outcomes.items())),
        "num_faults": len(one.faults),
        "faults": one.faults[:50],
        "is_live_afterwards": is_live,
        "answers_afterwards": answers,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Run an attack; exit 1 if the server failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    numbers = attack(given.count, given.seed)
    write_record(given.out, "server", numbers)
    is_good = numbers["num_faults"] == 0 and numbers["is_live_afterwards"] and numbers["answers_afterwards"]
    raise SystemExit(0 if is_good else 1)


if __name__ == "__main__":
    main()
