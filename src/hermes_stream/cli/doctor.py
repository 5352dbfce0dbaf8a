"""``hermes doctor``: what is installed, what the machine has, and what a model's memory takes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from hermes_stream.cli.opening import check_options, load, open_session
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    JsonOption,
    MemoryOptions,
    ModelOptions,
)
from hermes_stream.cli.output import print_json, size

if TYPE_CHECKING:
    from hermes_stream.cli.machine import Device
    from hermes_stream.cli.stream_needs import StreamNeeds


@expand_options
def doctor(*, model: ModelOptions, memory: MemoryOptions, json: JsonOption = False) -> None:
    """Show versions, devices and codecs, then the tiers and the memory of a model with a budget."""
    check_options(model, memory)
    from hermes_stream.cli.machine import devices, processor, versions
    from hermes_stream.video.codecs import codecs

    installed, found, formats = versions(), devices(), codecs()
    if not json:
        _print_machine(installed, found, formats)
    needs = _measure_stream(model, memory)
    if json:
        machine = {"versions": installed, "processor": processor(), "devices": list(map(asdict, found))}
        print_json(machine | {"codecs": formats, "stream": {"policy": memory.policy, **asdict(needs)}})
    else:
        _print_section("stream", needs.lines(memory.policy, chunk_frames=memory.chunk_frames))


def _measure_stream(model: ModelOptions, memory: MemoryOptions) -> StreamNeeds:
    from hermes_stream.cli.stream_needs import measure
    from hermes_stream.models.loading.footprint import free_bytes

    loaded = load(model)
    free = free_bytes(loaded.layout.device)  # before the stream takes its share
    return measure(open_session(memory, loaded), free_bytes=free)


def _print_machine(
    installed: Mapping[str, str | None],
    found: Sequence[Device],
    formats: Mapping[str, Mapping[str, bool]],
) -> None:
    _print_section("versions", {name: number or "not installed" for name, number in installed.items()})
    _print_section("devices", {device.name: _line(device) for device in found})
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


def _line(device: Device) -> str:
    free, total = (
        "unknown" if num_bytes is None else size(num_bytes)
        for num_bytes in (device.free_bytes, device.total_bytes)
    )
    return f"{device.title}; {free} free of {total}"
