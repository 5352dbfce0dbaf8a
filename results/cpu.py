"""Measure what a processor gains from fewer bits and from compiling: python results/cpu.py NAME [--out FILE].

``accuracy`` asks both embedded models about stories that training never saw, in float32, in bfloat16 and with
8 bit weights. ``speed`` times the decoder of a published size with random weights in each of these ways, with
oneDNN held to older instruction sets too, which stands in for older processors. ``compiled`` times it with
and without ``torch.compile``. ``tower`` times the vision tower beside matrices of its shapes,
``patches`` its patch convolution, channels last and not.

Times are processor seconds of one thread, since wall time on a shared machine says little: all ways take
turns, and the median and the least of the turns are stored.
"""

import argparse
import copy
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measure import FOLDER, WORLD_BUDGET_TOKENS, WORLD_SECONDS, WORLD_SEED, hermes, machine

from hermes_stream.models.loading.placement import DTYPES

SIZE = "llava-onevision-0.5b"
WAYS = {
    "float32": ("float32", "auto"),
    "bfloat16": ("bfloat16", "auto"),
    "int8, float32": ("float32", "int8"),
    "int8, bfloat16": ("bfloat16", "int8"),
}
ACCURACY_STREAMS = 12
ACCURACY_WAYS = ("float32", "bfloat16", "int8, float32")
INSTRUCTIONS = ("all", "AVX512_CORE_VNNI", "AVX2")  # oneDNN's names; all that this processor has
HELD_TOKENS = 2000
STEPS = {"frame": 196, "question": 32, "token": 1}  # the token is one of the answer
TURNS = {"frame": 3, "question": 5, "token": 11}
COMPILED = ("bfloat16", "int8, float32")
WORKERS = 4
SEED = 0


def accuracy() -> dict[str, Any]:
    """Ask the same stories in every way, in open words."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as workers:
        world = ["--seed", WORLD_SEED, "--streams", ACCURACY_STREAMS, "--seconds", WORLD_SECONDS]
        hermes("world", *world, "--out", folder, "--force")

        def ask(model: str, policy: str, way: str) -> dict[str, Any]:
            dtype, weights = WAYS[way]
            words = ["eval", Path(folder) / "annotations.json", "--videos", folder, "--model", model]
            words += ["--policy", policy, "--short-answers", "--threads", 1]
            words += ["--dtype", dtype, "--weights", weights]
            words += [] if policy == "full" else ["--budget-tokens", WORLD_BUDGET_TOKENS]
            return {"way": way, **scores(hermes(*words))}

        choices = product(("tiny", "tiny-qwen"), ("full", "hermes_paper"), ACCURACY_WAYS)
        runs = list(workers.map(lambda choice: ask(*choice), choices))
    return {"seed": WORLD_SEED, "streams": ACCURACY_STREAMS, "seconds": WORLD_SECONDS, "runs": runs}


def scores(document: dict[str, Any]) -> dict[str, Any]:
    """Keep what is said of all questions, and of each group of them."""
    kept = (
        "model",
        "policy",
        "dtype",
        "weights",
        "budget_tokens",
        "fps",
        "num_questions",
        "accuracy",
        "low",
        "high",
    )
    return {name: document[name] for name in (*kept, "accuracy_by_group", "accuracy_by_kind")}


def speed() -> dict[str, Any]:
    """Time the decoder; each instruction set in a program of its own, since oneDNN reads it at its start."""
    runs = []
    for instructions in INSTRUCTIONS:
        held = {} if instructions == "all" else {"ONEDNN_MAX_CPU_ISA": instructions}
        command = [sys.executable, __file__, "one-speed"]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **held}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        runs += [{"instructions": instructions, **run} for run in json.loads(done.stdout.splitlines()[-1])]
    return {
        "size": SIZE,
        "seed": SEED,
        "held_tokens": HELD_TOKENS,
        "steps": STEPS,
        "turns": TURNS,
        "runs": runs,
    }


def one_speed() -> list[dict[str, Any]]:
    """Time all ways in turn, within this program."""
    return timed({way: Decoder(dtype, weights) for way, (dtype, weights) in WAYS.items()})


def compiled() -> dict[str, Any]:
    """Time the decoder as it is, with compiled feed-forward parts, and compiled as a whole."""
    runs = []
    for way in COMPILED:
        decoders = {}
        for part in ("nothing", "feed-forward", "decoder"):
            decoders[part] = Decoder(*WAYS[way])
            decoders[part].compile(part)
        runs += [{"numbers": way, **run} for run in timed(decoders)]
        decoders.clear()
        torch._dynamo.reset()
    return {
        "size": SIZE,
        "seed": SEED,
        "held_tokens": HELD_TOKENS,
        "steps": STEPS,
        "turns": TURNS,
        "runs": runs,
    }


class Decoder:
    """A decoder with random weights and a memory that holds tokens.

    Args:
        dtype: as for ``load_model``.
        weights: as for ``load_model``.
    """

    def __init__(self, dtype: str, weights: str) -> None:
        from hermes_stream.cache import StreamCache

        torch.set_num_threads(1)
        module, layout = random_decoder()
        self.module = copy.deepcopy(module).to(DTYPES[dtype])
        self.layout = replace(layout, dtype=DTYPES[dtype])
        if weights == "int8":
            quantise(self.module)
        room = HELD_TOKENS + max(STEPS.values()) + TURNS["token"] + 1
        rooms = [room] * layout.num_layers
        self.cache = StreamCache(self.layout, rooms, num_prefix_tokens=HELD_TOKENS)
        self.step(HELD_TOKENS)
        self.held = self.cache.mark()

    def compile(self, part: str) -> None:
        """Compile on first use: nothing, the feed-forward part of each layer, or the whole decoder."""
        if part == "decoder":
            self.module.compile(dynamic=True)
        elif part == "feed-forward":
            for layer in self.module.layers:
                layer.mlp.compile(dynamic=True)

    @torch.inference_mode()
    def step(self, num_tokens: int) -> float:
        """Run tokens through, behind all that is held; return the processor seconds."""
        from hermes_stream.attention import Segment, forward

        embeddings = torch.randn(num_tokens, self.module.config.hidden_size).to(self.layout.dtype)
        first = self.cache.next_position
        positions = torch.arange(first, first + num_tokens)[None]
        began = time.process_time()
        self.cache.append(positions)
        forward(self.module, [Segment(cache=self.cache, embeddings=embeddings, positions=positions)])
        return time.process_time() - began

    @property
    def num_bytes(self) -> int:
        """Bytes of the layers' weights, quantised or not."""
        return sum(
            sum(getattr(weight, name).nbytes for name in getattr(weight, "tensor_data_names", ["data"]))
            for weight in self.module.layers.parameters()
        )


@cache
def random_decoder() -> tuple[torch.nn.Module, Any]:
    """Build the decoder in float32, once for all ways, and the layout of its memory."""
    from hermes_lab.training.random_weights import random_model

    model = random_model(SIZE, dtype="float32", device="cpu", seed=SEED)
    return model.decoder, model.layout


def timed(decoders: dict[str, Decoder]) -> list[dict[str, Any]]:
    """Let decoders take turns; a token follows the one before it, as in an answer."""
    rows = {name: {"way": name, "decoder_bytes": one.num_bytes} for name, one in decoders.items()}
    for step, num_tokens in STEPS.items():
        seconds: dict[str, list[float]] = {name: [] for name in decoders}
        first: dict[str, float] = {}
        for turn in range(TURNS[step] + 1):
            for name, one in decoders.items():
                began = time.perf_counter()
                took = one.step(num_tokens)
                if turn == 0:
                    first[name] = time.perf_counter() - began
                else:
                    seconds[name].append(took)
                if step != "token":
                    one.cache.rewind(one.held)
        for name, one in decoders.items():
            one.cache.rewind(one.held)
            rows[name][step] = {
                "median_processor_seconds": round(median(seconds[name]), 6),
                "min_processor_seconds": round(min(seconds[name]), 6),
                "first_wall_seconds": round(first[name], 3),
            }
    return list(rows.values())


def quantise(decoder: torch.nn.Module) -> None:
    """Quantise as transformers does for ``load_model``."""
    from torchao.quantization import quantize_

    from hermes_stream.models.loading.placement import Placement
    from hermes_stream.models.loading.quantisation import int8_config

    quantize_(decoder, int8_config(Placement(device=torch.device("cpu"), weights="int8")).quant_type)


def tower() -> dict[str, Any]:
    """Time the vision tower of one picture on one thread, beside what matrices of its shapes take alone."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    from hermes_lab.bench.workload import make_workload
    from hermes_lab.training.random_weights import random_model

    torch.set_num_threads(1)
    rows = []
    for dtype in ("float32", "bfloat16"):
        model = random_model(SIZE, device="cpu", dtype=dtype, seed=SEED)
        workload = make_workload(model, image_size=392, question_tokens=32, new_tokens=2, seed=SEED)
        pixels = model.prepare(workload.frames(0, 1))
        (tokens, width), wide = (729, 1152), 4304
        left, right = torch.randn(tokens, width).to(DTYPES[dtype]), torch.randn(wide, width).to(DTYPES[dtype])
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model.encode(pixels)
        with torch.inference_mode():
            matrix = least(lambda left=left, right=right: torch.nn.functional.linear(left, right))
            seconds = least(lambda model=model, pixels=pixels: model.encode(pixels))
            with profile(activities=[ProfilerActivity.CPU]) as recording:
                model.encode(pixels)
        own = {event.key: event.self_cpu_time_total for event in recording.key_averages()}
        whole = sum(own.values())
        shares = {
            name: round(sum(time for key, time in own.items() if part in key) / whole, 3)
            for name, part in (("matrices", "addmm"), ("attention", "scaled_dot"), ("gelu", "gelu"))
        }
        rows.append(
            {
                "dtype": dtype,
                "seconds_per_picture": round(seconds, 3),
                "gflops_per_second": round(counter.get_total_flops() / seconds / 1e9, 1),
                "gflops_per_second_of_its_matrices": round(2 * tokens * width * wide / matrix / 1e9, 1),
                "shares": shares,
            }
        )
    return {"size": SIZE, "threads": 1, "seed": SEED, "runs": rows}


def patches() -> dict[str, Any]:
    """Time the tower's patch convolution of one picture on one thread, in both layouts, in turns."""
    torch.set_num_threads(1)
    rows = []
    for name in ("float32", "bfloat16"):
        dtype = DTYPES[name]
        torch.manual_seed(SEED)
        picture = torch.randn(1, 3, 384, 384).to(dtype)
        plain = torch.nn.Conv2d(3, 1152, 14, stride=14).to(dtype)
        last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        shown = {"as it is": (plain, picture)}
        shown["channels last"] = (last, picture.contiguous(memory_format=torch.channels_last))
        seconds: dict[str, list[float]] = {way: [] for way in shown}
        with torch.inference_mode():
            for turn in range(22):
                for way, (convolution, own) in shown.items():
                    began = time.process_time()
                    convolution(own)
                    if turn > 1:
                        seconds[way].append(time.process_time() - began)
        rows.append({"dtype": name} | {way: round(median(own), 6) for way, own in seconds.items()})
    operations = 2 * 27 * 27 * 3 * 14 * 14 * 1152
    return {"size": SIZE, "threads": 1, "seed": SEED, "operations": operations, "processor_seconds": rows}


def least(work: Callable[[], object], turns: int = 3) -> float:
    """Return the least processor seconds of a piece of work after a warm-up."""
    work()
    took = []
    for _ in range(turns):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


MEASUREMENTS = {
    "accuracy": accuracy,
    "speed": speed,
    "compiled": compiled,
    "tower": tower,
    "patches": patches,
}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*MEASUREMENTS, "one-speed"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if arguments.what == "one-speed":
        sys.stdout.write(json.dumps(one_speed()) + "\n")
        return
    where = machine()
    where["versions"]["torchao"] = version("torchao")
    result = {"machine": where, **MEASUREMENTS[arguments.what]()}
    out = arguments.out or FOLDER / f"cpu_{arguments.what}.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
