"""From the words of ``hermes bench`` to a model, the runs, and one document."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from hermes_stream.cli.opening import SessionWish, mute_log
from hermes_stream.cli.output import doing
from hermes_stream.cli.policy_choice import PolicyChoice, read_policy

if TYPE_CHECKING:
    from hermes_stream.evals.floors import DeviceSpeed, ModelCost
    from hermes_stream.evals.footage import Footage
    from hermes_stream.evals.latency import Course
    from hermes_stream.models import VideoModel
    from hermes_stream.policies import MemoryPolicy

_SILENCE = {"KINETO_LOG_LEVEL": "6", "TORCH_CPP_LOG_LEVEL": "ERROR"}


def silence_torch() -> None:
    """Keep torch's recorder of allocations from writing to standard error; before torch is loaded."""
    for name, value in _SILENCE.items():
        os.environ.setdefault(name, value)


def split_counts(words: str, *, option: str) -> list[int]:
    """Read whole numbers above 0, separated by commas.

    Args:
        words: as given.
        option: where, for the complaint.

    Raises:
        BadParameter: one is none, or is there twice.
    """
    pieces = [piece.strip() for piece in words.split(",")]
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
    from hermes_stream.evals.latency import REPREFILL

    return {name: None if name == REPREFILL else read_policy(name, option="--policies") for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """What is measured; the fields are the options of the same names.

    Attributes:
        wish: model, budget, chunk, device and dtype.
        memories: the policies by name; None is the plain model.
    """

    wish: SessionWish
    random: str | None
    memories: Mapping[str, PolicyChoice | None]
    frame_counts: Sequence[int]
    question_tokens: int
    new_tokens: int
    repeats: int
    most_seconds: float
    size: int
    threads: int | None
    seed: int

    def document(self, command: str) -> dict[str, Any]:
        """Load the model, measure, and return all that was found.

        Args:
            command: how it was asked for.
        """
        began = time.perf_counter()
        model = self._load()
        from hermes_stream.evals.floors import measure_cost, measure_speed
        from hermes_stream.evals.footage import make_footage

        with doing("making pictures"):
            footage = make_footage(seed=self.seed, size=self.size, fps=model.card.default_fps)
        with doing("measuring the device"):
            layout, cost = model.layout, measure_cost(model, footage)
            speed = measure_speed(layout.device, layout.dtype, weight_bytes=cost.weight_bytes)
        return {
            **self._settings(model, footage),
            **self._latency(model, footage, cost, speed),
            "floor": asdict(speed) | asdict(cost),
            **_machine(model),
            "command": command,
            "took_seconds": time.perf_counter() - began,
        }

    def _load(self) -> VideoModel:
        mute_log()
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.random is None:
            return self.wish.load_model()
        with doing(f"making random weights of {self.random}"):
            from hermes_stream.models.random_weights import random_model

            dtype = "bfloat16" if self.wish.dtype == "auto" else self.wish.dtype
            return random_model(self.random, device=self.wish.device, dtype=dtype, seed=self.seed)

    def _latency(
        self, model: VideoModel, footage: Footage, cost: ModelCost, speed: DeviceSpeed
    ) -> dict[str, Any]:
        from hermes_stream.evals.latency import measure_latency

        with doing("measuring"):
            found = measure_latency(model, self._course(model), footage, cost=cost, speed=speed)
        return {
            "question_tokens": found.question_tokens,
            "runs": [asdict(row) for row in found.rows],
            "left_out": [asdict(one) for one in found.left_out],
        }

    def _course(self, model: VideoModel) -> Course:
        from hermes_stream.evals.latency import Course

        budget = self.wish.budget_tokens or model.card.default_budget_tokens
        return Course(
            policies={
                name: None if choice is None else _made(choice, budget)
                for name, choice in self.memories.items()
            },
            frame_counts=self.frame_counts,
            chunk_frames=self.wish.chunk_frames,
            question_tokens=self.question_tokens,
            new_tokens=self.new_tokens,
            repeats=self.repeats,
            most_seconds=self.most_seconds,
        )

    def _settings(self, model: VideoModel, footage: Footage) -> dict[str, Any]:
        return {
            "model": model.card.name,
            "device": str(model.layout.device),
            "dtype": str(model.layout.dtype).removeprefix("torch."),
            "budget_tokens": self.wish.budget_tokens or model.card.default_budget_tokens,
            "chunk_frames": self.wish.chunk_frames,
            "new_tokens": self.new_tokens,
            "repeats": self.repeats,
            "most_seconds": self.most_seconds,
            "picture_size": self.size,
            "pictures": "made in memory: PyAV is not installed, so nothing was decoded"
            if footage.decode_seconds is None
            else "decoded from an H.264 file",
            "max_positions": model.layout.max_positions,
            "tokens_per_frame": model.card.tokens_per_frame,
            "pictures_per_frame": model.card.pictures_per_frame,
            "seed": self.seed,
        }


def _made(choice: PolicyChoice, budget_tokens: int) -> MemoryPolicy:
    return choice.make(budget_tokens=budget_tokens) if choice.takes_budget else choice.make()


def _machine(model: VideoModel) -> dict[str, Any]:
    """Say where it ran, and how busy that was."""
    from hermes_stream.cli.machine import devices, processor, versions

    place = str(model.layout.device)
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "machine": {
            "device": next((one.title for one in devices() if one.name.startswith(place)), place),
            "processor": processor(),
            "load_average": load and round(load[0], 2),
        },
        "versions": versions(),
    }
