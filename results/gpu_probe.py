"""Look at a GPU for a minute: python results/gpu_probe.py [SIZE ...] [--out FILE] [--smoke].

With random weights in bfloat16 it times how text is read, then chunks, questions and answers of one stream
and of eight, and tells memory. It is what to run first where a machine is lent for minutes; ``gpu.py`` takes
half an hour. ``--smoke`` runs it with an embedded model on the processor; its figures mean nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hermes_lab.bench.peak_memory import measure_peak
from hermes_lab.bench.workload import Workload, make_workload, max_text_tokens, without_stop_tokens
from hermes_lab.training.random_weights import random_model
from hermes_stream import Engine, HermesPolicy, Session, load_model
from hermes_stream.blocks import rows_of
from hermes_stream.models.base import VideoModel
from hermes_stream.packed_kernel import packed_kernel, shape_options, summing_kernel
from hermes_stream.parted_reading import PartedReading
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.stream.stats import synchronize

FOLDER = Path(__file__).parent
SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
BUDGET = 4000
CHUNK, WARM_UP, TIMED = 16, 4, 4
HELD, SLOTS = 4100, 7200


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """Time work, the device waited for at both ends."""
    took = []
    for _ in range(repeats):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        took.append(time.perf_counter() - began)
    return took


def reading(count: int, device: torch.device) -> dict[str, Any]:
    """Time how tokens of one text read a layer of a stream: masked, each for itself, as a whole, in parts."""
    kernel, (heads, kv_heads, width) = packed_kernel(device, torch.bfloat16, 128), (28, 4, 128)
    where: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    held = torch.randn(3, 1, 4, kv_heads, SLOTS, width, **where)[1:, :, 1]
    queries = torch.randn(count, heads, width, **where)
    used = torch.arange(HELD - count, HELD, device=device, dtype=torch.int32) + 1
    ends = torch.arange(count + 1, device=device, dtype=torch.int32)
    seen = torch.arange(SLOTS, device=device) <= used[:, None]

    def masked() -> Tensor:
        asked = queries.transpose(0, 1)[None]
        return F.scaled_dot_product_attention(asked, held[0], held[1], attn_mask=seen, enable_gqa=True)

    def packed(longest: int) -> Tensor:
        assert kernel is not None
        starts, own = torch.zeros_like(ends[::longest]), used[longest - 1 :: longest].contiguous()
        where = {"cu_seq_q": ends[::longest].contiguous(), "cu_seq_k": starts, "seqused_k": own}
        options = shape_options(longest, SLOTS) | {"scale": width**-0.5}
        return kernel(queries, *map(rows_of, held), **where, **options)

    ways: dict[str, Callable[[], object]] = {"masked": masked}
    if kernel is not None:
        ways |= {"per_token": partial(packed, 1), "per_text": partial(packed, count)}
    if (summing := summing_kernel(device, torch.bfloat16, 128)) is not None:
        slots = torch.arange(HELD - count, HELD, device=device)[None]
        parts = PartedReading.of(summing, torch.zeros_like(slots[0]), slots, rows_per_stream=0)
        own = held[:, 0, :, HELD - count : HELD]
        read = partial(parts.read, 0, queries.transpose(0, 1), *own, held=held, scaling=width**-0.5)
        ways["in_parts"] = read
    took = {name: round(1e6 * min(seconds(way, 20, device)), 1) for name, way in ways.items()}
    return {"tokens": count, "microseconds": took}


class Streams:
    """Streams of one model that are shown the same pictures."""

    def __init__(self, model: VideoModel, workload: Workload) -> None:
        self._model, self._workload, self._shown = model, workload, 0
        self._seconds = partial(seconds, device=model.layout.device)

    def frames(self, count: int) -> Any:
        """Return the next frames."""
        self._shown += count
        return self._workload.frames(self._shown - count, count)

    def alone(self, policy: MemoryPolicy) -> dict[str, Any]:
        """Time one stream."""
        weights = allocated()
        session = Session(
            self._model,
            policy,
            chunk_frames=CHUNK,
            text_tokens=max_text_tokens(self._model),
            defers_compression=True,
        )

        def fold(count: int = CHUNK) -> None:
            session.observe(self.frames(count))
            session.flush()

        def ask(tokens: int) -> str:
            return session.ask(self._workload.question, max_new_tokens=tokens).text

        def ask_on_arrival() -> None:
            session.observe(self.frames(1))
            ask(1)

        for _ in range(WARM_UP):
            fold()
        for _ in range(8):
            ask_on_arrival()
        ask(16)
        chunk, answer = self._seconds(fold, TIMED), self._seconds(partial(ask, 16), TIMED)
        first, arrival = self._seconds(partial(ask, 1), 8), self._seconds(ask_on_arrival, 8)
        held = allocated() - weights

        def fold_and_ask() -> None:
            fold()
            ask(16)

        peak = held + measure_peak(self._model.layout.device, fold_and_ask)
        return {
            "chunk_seconds": median(chunk),
            "ttft_seconds": median(first),
            "seconds_per_token": (median(answer) - median(first)) / 15,
            "arrival_seconds": median(arrival),
            "held_gib": held / 2**30,
            "peak_gib": peak / 2**30,
        }

    def together(self, policy: MemoryPolicy, streams_per_block: int) -> dict[str, Any]:
        """Time eight streams of an engine: chunks of all, and answers of 16 tokens of one, three and all."""
        engine = Engine(self._model, streams_per_block=streams_per_block)
        options: dict[str, Any] = {"text_tokens": max_text_tokens(self._model), "defers_compression": True}
        handles = [engine.add(policy, **options) for _ in range(8)]

        def chunks() -> None:
            frames = self.frames(CHUNK)
            for handle in handles:
                handle.observe(frames)
            engine.run()

        def ask(count: int) -> None:
            answers = [handle.ask(self._workload.question, max_new_tokens=16) for handle in handles[:count]]
            engine.run()
            [answer.text for answer in answers]

        for _ in range(WARM_UP):
            chunks()
        for count in (1, 3, 8):
            ask(count)
        found = {
            f"answers_of_{count}_seconds": median(self._seconds(partial(ask, count), 3))
            for count in (1, 3, 8)
        }
        return {
            "streams_per_block": streams_per_block,
            "chunks_seconds": median(self._seconds(chunks, 2)),
        } | found


def allocated() -> int:
    """Return the bytes of all tensors on the GPU; 0 without one."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def probe(model: VideoModel, budget: int) -> dict[str, Any]:
    """Measure one model."""
    workload = make_workload(model, image_size=392, question_tokens=32, new_tokens=16, seed=0)
    streams, policy = Streams(without_stop_tokens(model), workload), HermesPolicy.best(budget)
    return {
        "question_tokens": workload.question_tokens,
        "one_stream": streams.alone(policy),
        "eight_streams": [streams.together(policy, count) for count in (1, 8)],
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=SIZES)
    parser.add_argument("--out", type=Path, default=FOLDER / "gpu_probe.json")
    parser.add_argument("--smoke", action="store_true", help="an embedded model, on the processor")
    given = parser.parse_args()
    device = torch.device("cpu" if given.smoke else "cuda")
    document: dict[str, Any] = {
        "device": str(device) if given.smoke else torch.cuda.get_device_name(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "command": " ".join(["python", *sys.argv]),
        "seed": 0,
        "reading": [reading(count, device) for count in (1, 2, 8, 32, 64, 128)],
        "sizes": {},
    }
    for size in ("tiny",) if given.smoke else given.sizes:
        model = load_model(size, device="cpu") if given.smoke else random_model(size, device="cuda")
        document["sizes"][size] = probe(model, model.card.default_budget_tokens if given.smoke else BUDGET)
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
