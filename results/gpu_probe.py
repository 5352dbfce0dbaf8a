"""Look at a GPU for a minute: python results/gpu_probe.py [SIZE ...] [--out FILE] [--together] [--smoke].

What to run first where a machine is lent; ``gpu.py`` begins with it. It says which attention kernels run on
what shapes, whether a forward can be captured, how fast bytes are copied to the device and back, and how text
is read; then, for each size with random weights in bfloat16, how long a chunk, a question and an answer of
one stream take and how much memory, with the pools of captured forwards. Each step is stored as soon as it is
done, and one that fails is named with its reason, while the others go on. ``--together`` times eight streams
of an engine besides. ``--smoke`` runs it with an embedded model on the processor; its figures mean nothing.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from speed import Record
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from hermes_lab.bench.peak_memory import graph_pools, measure_peak
from hermes_lab.bench.workload import Workload, make_workload, max_text_tokens, without_stop_tokens
from hermes_lab.training.random_weights import random_model
from hermes_stream import Engine, HermesPolicy, Session, load_model
from hermes_stream.attention_kernels import kernels_told
from hermes_stream.blocks import rows_of
from hermes_stream.models.base import VideoModel
from hermes_stream.packed_kernel import packed_kernel, shape_options, summing_kernel
from hermes_stream.parted_reading import PartedReading
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.stream.recording import Recording, RecordingPool
from hermes_stream.stream.stats import synchronize

FOLDER = Path(__file__).parent
SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
BUDGET = 4000
CHUNK, WARM_UP, TIMED = 16, 4, 4
HELD, SLOTS = 4100, 7200
READ = (1, 2, 8, 32, 64, 128)


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


def backends(device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Tell which attention kernels run: a chunk, causal; a text under a mask; one token without one."""
    heads, kv_heads, width, dtype = 28, 4, 128, torch.bfloat16
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    found = []
    for name, count, is_causal, is_masked in (
        ("chunk", 784, True, False),
        ("text under a mask", 32, False, True),
        ("one token", 1, False, False),
    ):
        held = count if is_causal else HELD
        queries = torch.randn(1, heads, count, width, **where)
        keys, values = torch.randn(2, 1, kv_heads, held, width, **where)
        mask = torch.ones(count, held, dtype=torch.bool, device=device) if is_masked else None
        options = {"attn_mask": mask, "is_causal": is_causal, "enable_gqa": True}
        run = partial(F.scaled_dot_product_attention, queries, keys, values, **options)
        for backend in (
            SDPBackend.FLASH_ATTENTION,
            SDPBackend.CUDNN_ATTENTION,
            SDPBackend.EFFICIENT_ATTENTION,
            SDPBackend.MATH,
        ):
            row: dict[str, Any] = {"of": name, "tokens": count, "held": held, "backend": backend.name}
            try:
                with sdpa_kernel([backend]), catch_warnings():
                    simplefilter("ignore")  # why each other kernel does not serve
                    row["microseconds"] = round(1e6 * min(seconds(run, repeats, device)), 1)
            except RuntimeError as error:
                row["refused"] = str(error).splitlines()[0]
            found.append(row)
    kernels = {"packed": packed_kernel(device, dtype, width), "summing": summing_kernel(device, dtype, width)}
    told = kernels_told(device, heads=heads, kv_heads=kv_heads, head_dim=width)
    found += [{"of": form, "reads": kernel} for form, kernel in told.items()]
    return found + [{"of": name, "runs": kernel is not None} for name, kernel in kernels.items()]


def capture(device: torch.device) -> dict[str, Any]:
    """Capture a small product, replay it, and tell whether it gives what the product gives."""
    if device.type != "cuda":
        raise RuntimeError("nothing is captured on a processor")
    left, right = torch.randn(2, 512, 512, device=device)
    expected, found = left @ right, torch.empty_like(left)

    def work() -> None:
        torch.mm(left, right, out=found)

    work()  # sets its library up
    graph = Recording(work, RecordingPool(device))
    found.zero_()
    took = seconds(graph.replay, 20, device)
    pools = graph_pools(device)
    return {
        "microseconds": round(1e6 * min(took), 1),
        "microseconds_uncaptured": round(1e6 * min(seconds(work, 20, device)), 1),
        "is_right": torch.allclose(found, expected, atol=1e-2),
        "pool_bytes": pools.reserved_bytes,
    }


def copies(device: torch.device, num_bytes: int) -> dict[str, float]:
    """Return the bytes a second that are copied to the device, back, and within it."""
    host = {"pageable": torch.zeros(num_bytes, dtype=torch.uint8)}
    if device.type == "cuda":
        host["pinned"] = host["pageable"].pin_memory()
    there, beside = torch.zeros(2, num_bytes, dtype=torch.uint8, device=device)
    ways = {"within the device": partial(beside.copy_, there)}
    for name, own in host.items():
        ways[f"{name}, to the device"] = partial(there.copy_, own, non_blocking=True)
        ways[f"{name}, back"] = partial(own.copy_, there, non_blocking=True)
    return {name: num_bytes / min(seconds(way, 4, device)) for name, way in ways.items()}


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
        pools = graph_pools(self._model.layout.device)
        return {
            "chunk_seconds": median(chunk),
            "ttft_seconds": median(first),
            "seconds_per_token": (median(answer) - median(first)) / 15,
            "arrival_seconds": median(arrival),
            "held_gib": held / 2**30,
            # what is used of the pools is allocated, and in the peak
            "peak_gib": peak / 2**30,
            "graph_pools_gib": pools.reserved_bytes / 2**30,
            "peak_with_pools_gib": (peak + pools.free_bytes) / 2**30,
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


def look(size: str, *, smoke: bool, together: bool) -> dict[str, Any]:
    """Measure one model."""
    gc.collect()  # the size before
    model = load_model(size, device="cpu") if smoke else random_model(size, device="cuda")
    budget = model.card.default_budget_tokens if smoke else BUDGET
    side = 72 if smoke else 392
    workload = make_workload(model, image_size=side, question_tokens=32, new_tokens=16, seed=0)
    streams, policy = Streams(without_stop_tokens(model), workload), HermesPolicy.best(budget)
    found = {"question_tokens": workload.question_tokens, "one_stream": streams.alone(policy)}
    if together:
        found["eight_streams"] = [streams.together(policy, count) for count in (1, 8)]
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=SIZES)
    parser.add_argument("--out", type=Path, default=FOLDER / "gpu_probe.json")
    parser.add_argument("--together", action="store_true", help="time eight streams of an engine besides")
    parser.add_argument("--smoke", action="store_true", help="an embedded model, on the processor")
    given = parser.parse_args()
    device = torch.device("cpu" if given.smoke else "cuda")
    record = Record(
        given.out,
        {
            "device": str(device) if given.smoke else torch.cuda.get_device_name(),
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "command": " ".join(["python", *sys.argv]),
            "seed": 0,
        },
    )
    record.step("backends", lambda: backends(device, 1 if given.smoke else 5))
    record.step("capture", lambda: capture(device))
    record.step("copied_bytes_per_second", lambda: copies(device, 2**20 if given.smoke else 2**28))
    record.step("reading", lambda: [reading(count, device) for count in READ[: 1 if given.smoke else None]])
    for size in ("tiny",) if given.smoke else given.sizes:
        own = partial(look, size, smoke=given.smoke, together=given.together)
        record.step(size, own, into=record.document["sizes"])
    record.document["is_finished"] = True
    record.store()
    sys.stdout.write(json.dumps(record.document, indent=1) + "\n")


if __name__ == "__main__":
    main()
