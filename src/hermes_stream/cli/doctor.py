"""``hermes doctor``: what is installed, what the machine has, and what a model's memory takes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes_stream.cli.opening import check_options, load, open_session
from hermes_stream.cli.option_groups import expand_options
from hermes_stream.cli.options import FpsOption, JsonOption, MemoryOptions, ModelOptions
from hermes_stream.cli.output import doing, print_json, say, say_lines, size

if TYPE_CHECKING:
    from hermes_stream.cli.camera_needs import CameraNeeds
    from hermes_stream.cli.machine import Device
    from hermes_stream.cli.stream_needs import StreamNeeds

MeasureOption = Annotated[
    bool,
    typer.Option(
        *("--measure", "--gpu"),
        help="Ask torch for devices and a GPU's attention kernels, and load the model to measure a stream of "
        "it, in seconds; without it, only where another model or memory is asked for.",
    ),
]
QuickOption = Annotated[bool, typer.Option("--quick", hidden=True, help="What is done without --measure.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """Cameras that are to fit; told with the name of a model, they are measured on it."""

    cameras: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Say whether so many cameras fit, and what limits them."),
    ] = None
    fps: FpsOption = None
    watches: Annotated[
        int, typer.Option(metavar="W", min=0, help="Standing questions of each camera, asked once a second.")
    ] = 0


@expand_options
def doctor(
    *,
    measure: MeasureOption = False,
    quick: QuickOption = False,  # noqa: ARG001 - what it asked for is what is done anyway
    wanted: CameraOptions,
    model: ModelOptions,
    memory: MemoryOptions,
    json: JsonOption = False,
) -> None:
    """Show versions, codecs and devices, then the tiers and the memory of a model with a budget.

    This is instant: of the shipped model, what a stream takes is stored. Any other model, policy or budget is
    loaded to measure it, and torch is asked for the devices that it can use.
    """
    from hermes_stream.cli.machine import versions
    from hermes_stream.video.codecs import codecs

    measure = measure or wanted != CameraOptions() or (model, memory) != (ModelOptions(), MemoryOptions())
    if measure:
        check_options(model, memory)
    about: dict[str, Any] = {"versions": versions(), "codecs": codecs(), "is_measured": measure}
    if not json:
        _print_installed(about["versions"], about["codecs"])
    found, asked = _ask_torch() if measure else (_ask_system(), {})
    if not json:
        _print_section("devices", {device.name: _line(device) for device in found})
        _print_kernels(asked)
    needs, cameras = _measure(model, memory, wanted) if measure else (_stored_stream(found[0]), None)
    if json:
        about |= {"processor": None, "attention_kernels": None} | asked
        about |= {"devices": list(map(asdict, found))}
        about |= {"stream": {"policy": memory.policy, **asdict(needs)}}
        print_json(about | ({} if cameras is None else {"cameras": cameras.document()}))
        return
    lines = needs.lines(memory.policy, chunk_frames=memory.chunk_frames)
    _print_section("stream", lines | ({} if cameras is None else {"cameras": cameras.line()}))
    if not measure:
        say("'hermes doctor --measure' asks torch for devices and measures the stream, in seconds")


def _ask_system() -> list[Device]:
    from hermes_stream.cli.machine import driver_devices, host

    return [host(), *driver_devices()]


def _ask_torch() -> tuple[list[Device], dict[str, Any]]:
    from hermes_stream.cli.machine import attention_kernels, devices, processor

    with doing("asking torch for devices"):
        return devices(), {"processor": processor(), "attention_kernels": attention_kernels()}


def _stored_stream(host: Device) -> StreamNeeds:
    from hermes_stream.cli.stored_lists import STREAM_FILE, read_list
    from hermes_stream.cli.stream_needs import StreamNeeds

    return StreamNeeds(**read_list(STREAM_FILE)).with_free(host.free_bytes)


def _measure(
    model: ModelOptions, memory: MemoryOptions, wanted: CameraOptions
) -> tuple[StreamNeeds, CameraNeeds | None]:
    from hermes_stream.cli.camera_needs import measure_cameras
    from hermes_stream.cli.stream_needs import measure
    from hermes_stream.models.loading.footprint import free_bytes

    loaded = load(model)
    free = free_bytes(loaded.layout.device)  # before the stream takes its share
    needs = measure(open_session(memory, loaded)).with_free(free)
    if wanted.cameras is None:
        return needs, None
    with doing("watching noise, to measure"):
        cameras = measure_cameras(
            open_session(memory, loaded),
            num_cameras=wanted.cameras,
            fps=wanted.fps,
            num_watches=wanted.watches,
            free_bytes=free,
        )
    return needs, cameras


def _print_installed(installed: Mapping[str, str | None], formats: Mapping[str, Mapping[str, bool]]) -> None:
    _print_section("versions", {name: number or "not installed" for name, number in installed.items()})
    _print_section(
        "codecs",
        {
            verb: ", ".join(name if there else f"{name} (missing)" for name, there in formats[kind].items())
            for verb, kind in (("reads", "decoders"), ("writes", "encoders"))
        },
    )


def _print_kernels(asked: Mapping[str, Any]) -> None:
    """Say which attention kernels run on each GPU, or that there is none; nothing if torch was not asked."""
    if not asked:
        return
    for device, kernels in asked["attention_kernels"].items():
        _print_section(f"attention on {device}", kernels)
    if not asked["attention_kernels"]:
        _print_section(
            "attention", {"kernels": "torch has no CUDA device here; on others it chooses by itself"}
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
