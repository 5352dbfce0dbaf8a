"""From the words of ``hermes bench`` to a model, the runs, and one document."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from hermes_lab.cli.contestants import split_policies
from hermes_stream.cli.opening import check_options, load, mute_log
from hermes_stream.cli.options import MemoryOptions, ModelOptions
from hermes_stream.cli.output import doing
from hermes_stream.cli.policy_choice import PolicyChoice, read_policy

if TYPE_CHECKING:
    from hermes_lab.bench.fixed_question import Asking
    from hermes_lab.bench.generated_frames import Footage
    from hermes_lab.bench.latency import Course
    from hermes_lab.bench.roofline import DeviceSpeed, ModelCost
    from hermes_stream.models import VideoModel
    from hermes_stream.policies import MemoryPolicy

_SILENCE = {"KINETO_LOG_LEVEL": "6", "TORCH_CPP_LOG_LEVEL": "ERROR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """What is measured; the fields are the options of the same names, defaults filled in."""

    model: ModelOptions
    random: str | None
    frames: str | None
    streams: str | None
    policies: Sequence[str]
    budget_tokens: int | None
    chunk_frames: int
    question_tokens: int
    new_tokens: int
    repeats: int
    max_seconds: float
    seconds: float
    size: int
    kv_bits: int | None
    seed: int

    def document(self, command: str) -> dict[str, Any]:
        """Check all options, load the model, measure, and return all that was found.

        Args:
            command: how it was asked for.

        Raises:
            BadParameter: an option means nothing.
        """
        began = time.perf_counter()
        _silence_torch()
        check_options(self.model, MemoryOptions(budget_tokens=self.budget_tokens))
        memories = read_memories(split_policies(self.policies))
        frame_counts, stream_counts = (
            split_counts(words, option=option)
            for words, option in ((self.frames, "--frames"), (self.streams, "--streams"))
        )
        if stream_counts and next(iter(memories.values())) is None:
            raise typer.BadParameter(
                "reprefill holds no memory that streams could share a device with; name another policy first",
                param_hint="--policies",
            )
        model = self._load()
        from hermes_lab.bench.fixed_question import find_question, never_stopping
        from hermes_lab.bench.generated_frames import make_footage
        from hermes_lab.bench.latency import Course
        from hermes_lab.bench.roofline import measure_cost, measure_speed

        budget = self.budget_tokens or model.card.default_budget_tokens
        course = Course(
            policies={
                name: None if choice is None else _made(choice, budget) for name, choice in memories.items()
            },
            frame_counts=frame_counts,
            chunk_frames=self.chunk_frames,
            kv_bits=self.kv_bits,
            repeats=self.repeats,
            max_seconds=self.max_seconds,
        )
        asking = find_question(model, question_tokens=self.question_tokens, new_tokens=self.new_tokens)
        with doing("making pictures"):
            footage = make_footage(seed=self.seed, size=self.size, fps=model.card.default_fps)
        with doing("measuring the device"):
            layout, cost = model.layout, measure_cost(model, footage, kv_bits=self.kv_bits)
            speed = measure_speed(layout.device, layout.dtype, weight_bytes=cost.weight_bytes)
        model = never_stopping(model)
        return {
            **self._settings(model, asking, footage),
            **_latency(model, course, asking, footage, cost, speed),
            **self._load_of(model, course, asking, footage, stream_counts),
            "floor": asdict(speed) | asdict(cost),
            **_machine(model),
            "command": command,
            "took_seconds": time.perf_counter() - began,
        }

    def _load(self) -> VideoModel:
        mute_log()
        if self.random is None:
            return load(self.model)
        with doing(f"making random weights of {self.random}"):
            from hermes_stream.models.loading.random_weights import random_model

            dtype = "bfloat16" if self.model.dtype == "auto" else self.model.dtype
            return random_model(self.random, device=self.model.device, dtype=dtype, seed=self.seed)

    def _settings(self, model: VideoModel, asking: Asking, footage: Footage) -> dict[str, Any]:
        return {
            "model": model.card.name,
            "device": str(model.layout.device),
            "dtype": str(model.layout.dtype).removeprefix("torch."),
            "budget_tokens": self.budget_tokens or model.card.default_budget_tokens,
            "chunk_frames": self.chunk_frames,
            "question_tokens": asking.num_tokens,
            "new_tokens": self.new_tokens,
            "repeats": self.repeats,
            "max_seconds": self.max_seconds,
            "seconds": self.seconds,
            "picture_size": self.size,
            "kv_bits": self.kv_bits,
            "pictures": "made in memory: PyAV is not installed, so nothing was decoded"
            if footage.decode_seconds is None
            else "decoded from an H.264 file",
            "max_positions": model.layout.max_positions,
            "tokens_per_temporal_patch": model.card.tokens_per_temporal_patch,
            "frames_per_temporal_patch": model.card.frames_per_temporal_patch,
            "seed": self.seed,
        }

    def _load_of(
        self, model: VideoModel, course: Course, asking: Asking, footage: Footage, counts: Sequence[int]
    ) -> dict[str, Any]:
        """Put streams of the first policy under load."""
        from hermes_lab.bench.load_test import Load, measure_load

        policy = next(iter(course.policies.values()))
        if policy is None or not counts:
            return {"streams": [], "refused": []}
        load = Load(
            policy=policy,
            chunk_frames=self.chunk_frames,
            kv_bits=self.kv_bits,
            asking=asking,
            seconds=self.seconds,
            seed=self.seed,
        )
        with doing("putting streams under load"):
            rows, refused = measure_load(model, counts, load, footage)
        return {"streams": [asdict(row) for row in rows], "refused": [asdict(one) for one in refused]}


def split_counts(words: str | None, *, option: str) -> list[int]:
    """Read whole numbers above 0, separated by commas; none where nothing was given.

    Args:
        words: as given.
        option: where, for the complaint.

    Raises:
        BadParameter: one is none, or is there twice.
    """
    pieces = [] if words is None else [piece.strip() for piece in words.split(",")]
    if any(not (piece.isascii() and piece.isdigit() and int(piece)) for piece in pieces):
        raise typer.BadParameter(f"{words!r} must be whole numbers above 0, such as 16,64", param_hint=option)
    counts = [int(piece) for piece in pieces]
    if len(set(counts)) < len(counts):
        raise typer.BadParameter(f"{words!r} has a number twice; give each once", param_hint=option)
    return counts


def read_memories(names: Sequence[str]) -> dict[str, PolicyChoice | None]:
    """Read policies; None is ``reprefill``, the plain model.

    Raises:
        BadParameter: there is no such policy or field.
    """
    from hermes_lab.bench.latency import REPREFILL

    return {name: None if name == REPREFILL else read_policy(name, option="--policies") for name in names}


def _silence_torch() -> None:
    """Keep torch's recorder of allocations from writing to standard error; before torch is loaded."""
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)


def _made(choice: PolicyChoice, budget_tokens: int) -> MemoryPolicy:
    return choice.make(budget_tokens=budget_tokens) if choice.takes_budget else choice.make()


def _latency(
    model: VideoModel, course: Course, asking: Asking, footage: Footage, cost: ModelCost, speed: DeviceSpeed
) -> dict[str, Any]:
    from hermes_lab.bench.latency import measure_latency

    with doing("asking streams in turn"):
        found = measure_latency(model, course, asking, footage, cost=cost, speed=speed)
    return {
        "runs": [asdict(row) for row in found.rows],
        "left_out": [asdict(one) for one in found.left_out],
    }


def _machine(model: VideoModel) -> dict[str, Any]:
    """Say where it ran, and how busy that was."""
    from hermes_stream.cli.machine import devices, processor_name, versions

    place = str(model.layout.device)
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "machine": {
            "device": next((one.title for one in devices() if one.name.startswith(place)), place),
            "processor": processor_name(),
            "load_average": load and round(load[0], 2),
        },
        "versions": versions(),
    }
