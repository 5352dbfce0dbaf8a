"""From the options of ``hermes bench`` to a model, its measurements, and one document."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from hermes_lab.cli.bench_options import BenchOptions
from hermes_lab.cli.compared_policies import split_policies
from hermes_stream.cli.machine import devices, processor_name, versions
from hermes_stream.cli.opening import check_options, load, make_policy, mute_log, read_policy
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import doing

if TYPE_CHECKING:
    from hermes_lab.bench.workload import Workload
    from hermes_stream.models import VideoModel
    from hermes_stream.policies import MemoryPolicy

_REPREFILL = "reprefill"  # the plain model beside the policies
_DECODED = "decoded from an H.264 file"
_IN_MEMORY = "made in memory: PyAV is not installed, so nothing was decoded"
_SILENCE = {"KINETO_LOG_LEVEL": "6", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def run_bench(
    loading: ModelOptions, options: BenchOptions, *, store: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """Check all options, load the model, measure, and return all that was found.

    Args:
        loading: which model, and how it is loaded.
        options: what is measured, defaults filled in.
        store: called with the document whenever there is more in it, ``is_finished`` false.

    Raises:
        BadParameter: an option cannot be used.
    """
    began = time.perf_counter()
    # torch reads it once, when it is loaded; its recorder of allocations would write to standard error.
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)
    check_options(loading, MemoryOptions(budget_tokens=options.budget_tokens))
    names = _read_policies(options)
    for text, option in ((options.frames, "--frames"), (options.streams, "--streams")):
        split_counts(text, option=option)
    model = _load(loading, options)
    from hermes_lab.bench.workload import make_workload, without_stop_tokens

    with doing("making frames"):
        workload = make_workload(
            model,
            image_size=options.size,
            question_tokens=options.question_tokens,
            new_tokens=options.new_tokens,
            seed=options.seed,
        )
    policies: dict[str, Any] = {name: _make_policy(name, options, model) for name in names}
    measured = _count if options.count else _measure
    settings = _settings(model, loading, options) | {
        "question_tokens": workload.question_tokens,
        "pictures": _IN_MEMORY if workload.decode_seconds is None else _DECODED,
    }

    def document(found: dict[str, Any], *, is_finished: bool = False) -> dict[str, Any]:
        took = {"took_seconds": time.perf_counter() - began, "is_finished": is_finished}
        return {**settings, **found, **_machine(model), **took}

    found = measured(
        without_stop_tokens(model), policies, workload, options, store=lambda found: store(document(found))
    )
    return document(found, is_finished=True)


def _count(
    model: VideoModel,
    policies: Mapping[str, Any],
    workload: Workload,
    options: BenchOptions,
    *,
    store: Callable[[dict[str, Any]], None],  # noqa: ARG001 - it is counted in no time
) -> dict[str, Any]:
    """Count what a chunk and a token take with each policy, in chunks of each length."""
    from hermes_lab.bench.counted import count_run

    for name, policy in policies.items():
        if policy is None or policy.rebuilds_at_question or policy.budget_tokens is None:
            raise typer.BadParameter(
                f"{name} never compresses, so that no chunk costs what later ones do; name policies with a "
                "budget that keep a memory",
                param_hint="--policies",
            )
    shared: dict[str, Any] = {"workload": workload, "kv_bits": options.kv_bits}
    with doing("counting"):
        runs = [
            {"policy": name} | count_run(model, policy, chunk_frames=chunk_frames, **shared)
            for name, policy in policies.items()
            for chunk_frames in dict.fromkeys((options.chunk_frames, 1))
        ]
    return {"runs": runs}


def _measure(
    model: VideoModel,
    policies: Mapping[str, Any],
    workload: Workload,
    options: BenchOptions,
    *,
    store: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Time every policy in turn, then many streams at once."""
    from hermes_lab.bench.latency import LatencyBenchmark
    from hermes_lab.bench.load_test import LoadTest
    from hermes_lab.bench.roofline import measure_roofline

    frame_counts = split_counts(options.frames, option="--frames")
    stream_counts = split_counts(options.streams, option="--streams")
    with doing("measuring the device"):
        roofline = measure_roofline(model, workload, kv_bits=options.kv_bits)
    shared: dict[str, Any] = {"model": model, "workload": workload}
    shared |= {"chunk_frames": options.chunk_frames, "kv_bits": options.kv_bits}
    shared |= {"defers_compression": options.defer_compressions}
    benchmark = LatencyBenchmark(
        policies=policies,
        roofline=roofline,
        repeats=options.repeats,
        max_seconds=options.max_seconds,
        **shared,
    )
    load_test = LoadTest(
        policy=next(iter(policies.values())),
        seconds=options.seconds,
        seed=options.seed,
        streams_per_block=options.streams_per_block,
        **shared,
    )
    found: dict[str, Any] = {"runs": [], "left_out": [], "streams": [], "refused": []}
    found["floor"] = asdict(roofline)

    def keep(names: tuple[str, str]) -> Callable[[list[Any], list[Any]], None]:
        return lambda rows, missing: store(found | dict(zip(names, (rows, missing), strict=True)))

    with doing("asking streams in turn"):
        latency = ("runs", "left_out")
        found |= zip(latency, benchmark.run(frame_counts, store=keep(latency)), strict=True)
    with doing("putting streams under load"):
        load = ("streams", "refused")
        found |= zip(load, load_test.run(stream_counts, store=keep(load)), strict=True)
    return found


def _read_policies(options: BenchOptions) -> list[str]:
    """Return the names of policies; refuse those that cannot be read."""
    names = split_policies([options.policies])
    for name in names:
        if name != _REPREFILL:
            read_policy(name, option="--policies")
    if options.streams is not None and names[0] == _REPREFILL:
        raise typer.BadParameter(
            "reprefill holds no memory that streams could share a device with; name another policy first",
            param_hint="--policies",
        )
    return names


def split_counts(text: str | None, *, option: str) -> list[int]:
    """Read whole numbers above 0, separated by commas; none from None or an empty text.

    Args:
        text: as given.
        option: where it was given, for the message of an error.

    Raises:
        BadParameter: one is not a whole number above 0, or is there twice.
    """
    pieces = [piece.strip() for piece in text.split(",")] if text else []
    if any(not (piece.isascii() and piece.isdigit() and int(piece)) for piece in pieces):
        raise typer.BadParameter(f"{text!r} must be whole numbers above 0, such as 16,64", param_hint=option)
    counts = [int(piece) for piece in pieces]
    if len(set(counts)) < len(counts):
        raise typer.BadParameter(f"{text!r} has a number twice; give each once", param_hint=option)
    return counts


def _load(loading: ModelOptions, options: BenchOptions) -> VideoModel:
    mute_log()
    if options.random is None:
        return load(loading)
    if loading.weights != "auto":
        raise typer.BadParameter("random weights are not quantised; leave it out", param_hint="--weights")
    with doing(f"making random weights of {options.random}"):
        from hermes_lab.training.random_weights import random_model

        dtype = "bfloat16" if loading.dtype == "auto" else loading.dtype
        return random_model(options.random, device=loading.device, dtype=dtype, seed=options.seed)


def _make_policy(name: str, options: BenchOptions, model: VideoModel) -> MemoryPolicy | None:
    if name == _REPREFILL:
        return None
    memory = MemoryOptions(policy=name, budget_tokens=options.budget_tokens)
    return make_policy(memory, model.card.default_budget_tokens)


def _settings(model: VideoModel, loading: ModelOptions, options: BenchOptions) -> dict[str, Any]:
    """Return what was measured with, "auto" and defaults resolved."""
    layout, card = model.layout, model.card
    return {
        **asdict(loading),
        **asdict(options),
        "model": card.name,
        "device": str(layout.device),
        "dtype": str(layout.dtype).removeprefix("torch."),
        "budget_tokens": options.budget_tokens or card.default_budget_tokens,
        "picture_size": options.size,
        "max_positions": layout.max_positions,
        "tokens_per_temporal_patch": card.tokens_per_temporal_patch,
        "frames_per_temporal_patch": card.frames_per_temporal_patch,
    }


def _machine(model: VideoModel) -> dict[str, Any]:
    """Describe the machine, and how busy it is."""
    name = str(model.layout.device)
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "machine": {
            "device": next((one.title for one in devices() if one.name.startswith(name)), name),
            "processor": processor_name(),
            "load_average": load_average and round(load_average, 2),
        },
        "versions": versions(),
    }
