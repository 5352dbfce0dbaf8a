"""Measure the answers of many streams at once: python results/together.py [--streams 8,64] [--out FILE].

``together.json`` holds what one token of every stream's answer launches, and the processor seconds that it
takes on one thread, with buffers of each stream's own and with buffers in one block (``streams_per_block``).
Both engines answer the same question in turns; ratios are taken within a round.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from measure import FOLDER, machine

from hermes_lab.bench.operation_count import OperationCount
from hermes_lab.bench.workload import make_workload, without_stop_tokens
from hermes_stream import Engine, VideoModel, load_model

MODEL, FRAMES, IMAGE_SIZE, SEED = "tiny", 24, 98, 0
SHORT, LONG = 2, 10


class Answering:
    """The streams of one engine, all of which answer the same question at once."""

    def __init__(self, model: VideoModel, num_streams: int, streams_per_block: int) -> None:
        self._engine = Engine(model, memory_bytes=2**33, streams_per_block=streams_per_block)
        workload = make_workload(model, image_size=IMAGE_SIZE, question_tokens=32, new_tokens=2, seed=SEED)
        self._question = workload.question
        self._streams = [self._engine.add() for _ in range(num_streams)]
        for k, stream in enumerate(self._streams):
            stream.observe(workload.frames(k, FRAMES))
        self._engine.run()

    def seconds(self, num_tokens: int) -> tuple[float, list[str]]:
        """Answer in so many tokens; return processor seconds, and the answers."""
        answers = [one.ask(self._question, max_new_tokens=num_tokens) for one in self._streams]
        began = time.process_time()
        self._engine.run()
        return time.process_time() - began, [one.text for one in answers]

    def launches(self, num_tokens: int) -> int:
        """Answer in so many tokens; return what that launches."""
        for one in self._streams:
            one.ask(self._question, max_new_tokens=num_tokens)
        with (count := OperationCount(self._engine.model.decoder.parameters())):
            self._engine.run()
        return count.num_kernels


def measure(model: VideoModel, num_streams: int, num_rounds: int) -> dict[str, Any]:
    """Return launches and processor seconds of one token of all streams."""
    sides = {
        "apart": Answering(model, num_streams, 1),
        "together": Answering(model, num_streams, num_streams),
    }
    found: list[dict[str, float]] = []
    for turn in range(num_rounds + 1):
        seconds, texts = {}, {}
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            short, _ = sides[name].seconds(SHORT)
            took, texts[name] = sides[name].seconds(LONG)
            seconds[name] = (took - short) / (LONG - SHORT)
        assert texts["apart"] == texts["together"]
        found.append(seconds)
    found = found[1:]  # the first warms up
    ratios = [one["together"] / one["apart"] for one in found]
    low, _, high = quantiles(ratios, n=4)
    return {
        "num_streams": num_streams,
        "num_rounds": num_rounds,
        "launches": {name: one.launches(3) - one.launches(2) for name, one in sides.items()},
        "seconds": {name: median(one[name] for one in found) for name in sides},
        "together_over_apart": median(ratios),
        "quartiles": [low, high],
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", default="8,64", help="numbers of streams, separated by commas")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path, default=FOLDER / "together.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = without_stop_tokens(load_model(MODEL, device="cpu"))
    numbers = [int(one) for one in arguments.streams.split(",")]
    runs = [measure(model, one, arguments.rounds) for one in numbers]
    document = machine() | {"model": MODEL, "runs": runs}
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
