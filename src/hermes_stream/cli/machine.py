"""What this machine offers: versions and devices."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_stream._version import __version__
from hermes_stream.host import host_free_bytes

if TYPE_CHECKING:
    import torch

_PACKAGES = ("torch", "transformers", "av")
_NVIDIA_SMI = ("--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits")
_MAX_SECONDS = 5.0  # a driver that hangs answers nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that models can be on; bytes are None where they are unknown."""

    name: str
    title: str
    total_bytes: int | None
    free_bytes: int | None


def versions() -> dict[str, str | None]:
    """Return the versions that matter, None for what is not installed."""
    found: dict[str, str | None] = {"hermes-stream": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def host() -> Device:
    """Return the processor, as far as it is known without torch."""
    title = f"{platform.machine()}, {os.cpu_count()} processors"
    return Device(name="cpu", title=title, total_bytes=_total_bytes(), free_bytes=host_free_bytes())


def driver_devices() -> list[Device]:
    """Return the GPUs that NVIDIA's driver names, without torch, whatever torch makes of them."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        told = subprocess.run(
            [command, *_NVIDIA_SMI], capture_output=True, text=True, timeout=_MAX_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = ([cell.strip() for cell in line.split(",")] for line in told.stdout.splitlines())
    return [_driver_device(*row) for row in rows if len(row) == 4]


def _driver_device(index: str, title: str, total: str, free: str) -> Device:
    """Return a row of nvidia-smi, whose MiB are no number where a driver does not tell them."""
    total_bytes, free_bytes = (int(it) << 20 if it.isdigit() else None for it in (total, free))
    return Device(name=f"gpu {index}", title=title, total_bytes=total_bytes, free_bytes=free_bytes)


def devices(*, num_threads: int | None = None) -> list[Device]:
    """Return the devices that torch can use, the slowest first.

    Args:
        num_threads: how many of the processor's compute; None is as many as torch has now.
    """
    import torch

    from hermes_stream.models.loading.footprint import free_bytes

    title = f"{host().title}, {_arithmetic(num_threads)}"
    found = [replace(host(), title=title)]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        title = f"{torch.cuda.get_device_name(index)}, {_attention(index)}"
        found.append(Device(name=f"cuda:{index}", title=title, total_bytes=total, free_bytes=free))
    if torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        found.append(Device(name="mps", title="Apple GPU", total_bytes=total, free_bytes=free_bytes("mps")))
    return found


def attention_kernels() -> dict[str, dict[str, str]]:
    """Return which kernel reads what on each GPU that torch can use, with the heads of 7B models in bfloat16.

    Texts of several streams, and a text that is alone, are read by a kernel for packed sequences where one is
    right on the device; others as ``hermes_stream.attention_kernels`` chooses.
    """
    import torch

    return {
        f"cuda:{index}": _kernels_of(torch.device("cuda", index))
        for index in range(torch.cuda.device_count())
    }


def _kernels_of(device: torch.device) -> dict[str, str]:
    import torch

    from hermes_stream.attention_kernels import kernels_told
    from hermes_stream.packed_kernel import packed_kernel, summing_kernel

    has_packed, has_sums = (
        find(device, torch.bfloat16, 128) is not None for find in (packed_kernel, summing_kernel)
    )
    return kernels_told(device) | {
        "texts of several streams": "flash, packed" if has_packed else "one stream after the other",
        "a text alone, captured": "flash, in parts" if has_sums else "as captured text",
    }


def processor() -> dict[str, int | bool | None]:
    """Return how many threads compute, and whether bfloat16 is done in hardware; None is unknown."""
    import torch

    from hermes_stream.models.loading.placement import computes_bfloat16

    return {
        "num_processors": os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "computes_bfloat16": computes_bfloat16(),
    }


def processor_name() -> str:
    """Return the processor's name, as Linux gives it where there is Linux."""
    lines = Path("/proc/cpuinfo")
    names = lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []
    found = (line.partition(":")[2].strip() for line in names if line.startswith("model name"))
    return next(found, platform.processor() or platform.machine())


def _arithmetic(num_threads: int | None) -> str:
    import torch

    from hermes_stream.models.loading.placement import computes_bfloat16

    how = {True: "in hardware", False: "imitated and slow", None: "unknown"}[computes_bfloat16()]
    return f"{num_threads or torch.get_num_threads()} threads, bfloat16 {how}"


def _attention(index: int) -> str:
    """Say how a GPU reads the text of several streams."""
    import torch

    from hermes_stream.packed_kernel import packed_kernel

    kernel = packed_kernel(torch.device("cuda", index), torch.bfloat16, 128)
    return "streams are read one by one" if kernel is None else "one kernel reads the text of all streams"


def _total_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
