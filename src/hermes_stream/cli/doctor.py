"""``hermes doctor``: what is installed, what the machine has, and what a model's memory takes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from hermes_stream.cli.opening import SessionWish
from hermes_stream.cli.options import (
    BudgetOption,
    ChunkOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    PolicyOption,
    ThreadsOption,
    WeightsOption,
)
from hermes_stream.cli.output import print_json, size

if TYPE_CHECKING:
    from hermes_stream.cli.machine import Device
    from hermes_stream.cli.stream_needs import StreamNeeds


def doctor(
    *,
    model: ModelOption = "tiny",
    policy: PolicyOption = "hermes",
    budget_tokens: BudgetOption = None,
    chunk_frames: ChunkOption = 16,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    weights: WeightsOption = "auto",
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Show versions, devices and codecs, then the tiers and the memory of a model with a budget."""
    wish = SessionWish.among(locals())
    wish.check()
    from hermes_stream.cli.machine import codecs, devices, processor, versions

    found, places, formats = versions(), devices(), codecs()
    if not json:
        _print_machine(found, places, formats)
    needs = _stream(wish)
    if json:
        listed = [asdict(place) for place in places]
        machine = {"versions": found, "processor": processor(), "devices": listed, "codecs": formats}
        print_json(machine | {"stream": {"policy": wish.policy, **asdict(needs)}})
    else:
        _print_section("stream", needs.lines(wish.policy, chunk_frames=wish.chunk_frames))


def _stream(wish: SessionWish) -> StreamNeeds:
    """Start a stream and measure it."""
    from hermes_stream.cli.machine import free_bytes
    from hermes_stream.cli.stream_needs import measure

    model = wish.load_model()
    free = free_bytes(str(model.layout.device))
    return measure(wish.open_session(model), free_bytes=free)


def _print_machine(
    found: Mapping[str, str | None], places: list[Device], formats: Mapping[str, Mapping[str, bool]]
) -> None:
    _print_section("versions", {name: number or "not installed" for name, number in found.items()})
    _print_section(
        "devices",
        {
            place.name: f"{place.title}; {_bytes(place.free_bytes)} free of {_bytes(place.total_bytes)}"
            for place in places
        },
    )
    _print_section(
        "codecs",
        {
            verb: ", ".join(name if there else f"{name} (missing)" for name, there in formats[kind].items())
            for verb, kind in (("reads", "decoders"), ("writes", "encoders"))
        },
    )


def _print_section(title: str, lines: Mapping[str, str]) -> None:
    width = max(map(len, lines))
    typer.echo(title)
    for name, text in lines.items():
        typer.echo(f"  {name:{width}}  {text}")
    typer.echo()


def _bytes(num_bytes: int | None) -> str:
    return "unknown" if num_bytes is None else size(num_bytes)
