"""``hermes doctor``: what is installed, what the machine has, and what a model's memory takes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.opening import check_options, load, open_session
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import (
    JsonOption,
    MemoryOptions,
    ModelOptions,
)
from hermes_stream.cli.output import doing, print_json, say, say_lines, size

if TYPE_CHECKING:
    from hermes_stream.cli.machine import Device
    from hermes_stream.cli.stream_needs import StreamNeeds

QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Leave out what takes seconds: what torch knows of devices, and a model's memory."
    ),
]


@expand_options
def doctor(
    *, quick: QuickOption = False, model: ModelOptions, memory: MemoryOptions, json: JsonOption = False
) -> None:
    """Show versions, codecs and devices, then the tiers and the memory of a model with a budget.

    The machine comes first and at once. Then torch is loaded, and the model, to measure a stream of it.
    """
    from hermes_stream.cli.machine import host, versions
    from hermes_stream.video.codecs import codecs

    if not quick:
        check_options(model, memory)
    about: dict[str, Any] = {"versions": versions(), "codecs": codecs()}
    if not json:
        _print_installed(about["versions"], about["codecs"])
    found, arithmetic = ([host()], None) if quick else _ask_torch()
    if not json:
        _print_section("devices", {device.name: _line(device) for device in found})
    needs = None if quick else _measure_stream(model, memory)
    if json:
        about |= {"processor": arithmetic, "devices": list(map(asdict, found))}
        stream = None if needs is None else {"policy": memory.policy, **asdict(needs)}
        print_json(about | {"stream": stream})
    elif needs is not None:
        _print_section("stream", needs.lines(memory.policy, chunk_frames=memory.chunk_frames))


def _ask_torch() -> tuple[list[Device], dict[str, int | bool | None]]:
    from hermes_stream.cli.machine import devices, processor

    with doing("asking torch for devices"):
        return devices(), processor()


def _measure_stream(model: ModelOptions, memory: MemoryOptions) -> StreamNeeds:
    from hermes_stream.cli.stream_needs import measure
    from hermes_stream.models.loading.footprint import free_bytes

    loaded = load(model)
    free = free_bytes(loaded.layout.device)  # before the stream takes its share
    return measure(open_session(memory, loaded), free_bytes=free)


def _print_installed(installed: Mapping[str, str | None], formats: Mapping[str, Mapping[str, bool]]) -> None:
    _print_section("versions", {name: number or "not installed" for name, number in installed.items()})
    _print_section(
        "codecs",
        {
            verb: ", ".join(name if there else f"{name} (missing)" for name, there in formats[kind].items())
            for verb, kind in (("reads", "decoders"), ("writes", "encoders"))
        },
    )


def _print_section(title: str, lines: Mapping[str, str]) -> None:
    say(title)
    say_lines(lines)
    say()


def _line(device: Device) -> str:
    total = "unknown memory" if device.total_bytes is None else size(device.total_bytes)
    if device.free_bytes is None:
        return f"{device.title}; {total}"
    return f"{device.title}; {size(device.free_bytes)} free of {total}"
