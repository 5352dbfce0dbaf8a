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

MeasureOption = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Ask torch for devices, and load the model to measure a stream of it, in seconds; without it, "
        "only where another model or memory is asked for.",
    ),
]


@expand_options
def doctor(
    *, measure: MeasureOption = False, model: ModelOptions, memory: MemoryOptions, json: JsonOption = False
) -> None:
    """Show versions, codecs and devices, then the tiers and the memory of a model with a budget.

    This is instant: of the shipped model, what a stream takes is stored. Any other model, policy or budget is
    loaded to measure it, and torch is asked for the devices that it can use.
    """
    from hermes_stream.cli.machine import versions
    from hermes_stream.video.codecs import codecs

    measure = measure or (model, memory) != (ModelOptions(), MemoryOptions())
    if measure:
        check_options(model, memory)
    about: dict[str, Any] = {"versions": versions(), "codecs": codecs(), "is_measured": measure}
    if not json:
        _print_installed(about["versions"], about["codecs"])
    found, arithmetic = _ask_torch() if measure else _ask_system()
    if not json:
        _print_section("devices", {device.name: _line(device) for device in found})
    needs = _measure_stream(model, memory) if measure else _stored_stream(found[0])
    if json:
        about |= {"processor": arithmetic, "devices": list(map(asdict, found))}
        print_json(about | {"stream": {"policy": memory.policy, **asdict(needs)}})
        return
    _print_section("stream", needs.lines(memory.policy, chunk_frames=memory.chunk_frames))
    if not measure:
        say("'hermes doctor --measure' asks torch for devices and measures the stream, in seconds")


def _ask_system() -> tuple[list[Device], None]:
    from hermes_stream.cli.machine import driver_devices, host

    return [host(), *driver_devices()], None


def _ask_torch() -> tuple[list[Device], dict[str, int | bool | None]]:
    from hermes_stream.cli.machine import devices, processor

    with doing("asking torch for devices"):
        return devices(), processor()


def _stored_stream(host: Device) -> StreamNeeds:
    from hermes_stream.cli.stored_lists import STREAM_FILE, read_list
    from hermes_stream.cli.stream_needs import StreamNeeds

    return StreamNeeds(**read_list(STREAM_FILE)).with_free(host.free_bytes)


def _measure_stream(model: ModelOptions, memory: MemoryOptions) -> StreamNeeds:
    from hermes_stream.cli.stream_needs import measure
    from hermes_stream.models.loading.footprint import free_bytes

    loaded = load(model)
    free = free_bytes(loaded.layout.device)  # before the stream takes its share
    return measure(open_session(memory, loaded)).with_free(free)


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
