"""Which wheels an installation on another machine would take: python results/platforms.py WHEEL.

pip resolves WHEEL[server,mcp] in the tested versions for linux on aarch64, downloads what it must to see what
each needs, and installs nothing. Source distributions are refused, so that one without a wheel ends it.
Stored as ``platforms.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import FOLDER, machine

PYTHON = "311"
NEWEST_GLIBC = 28  # 2.28: Debian 10 and newer
OLDEST_GLIBC = 17
GPU_PARTS = ("nvidia-", "cuda-", "triton")


def resolve(wheel: Path, architecture: str) -> list[dict[str, Any]]:
    """Return what pip would install, as its report says it.

    Raises:
        CalledProcessError: something has no wheel there; pip says what.
    """
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1)]
    platforms = [word for tag in (*tags, f"manylinux2014_{architecture}") for word in ("--platform", tag)]
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--only-binary", ":all:", "--python-version", PYTHON, *platforms, "--target", folder]
        command += ["-c", str(FOLDER.parent / "constraints.txt"), "--report", str(report)]
        subprocess.run([*command, f"{wheel}[server,mcp]"], check=True)
        return json.loads(report.read_text(encoding="utf-8"))["install"]


def described(installed: list[dict[str, Any]]) -> dict[str, Any]:
    """Return which distributions are for any machine, for this kind, and for a GPU."""
    rows = sorted(
        (one["metadata"]["name"].lower().replace("_", "-"), one["download_info"]["url"].rpartition("/")[2])
        for one in installed
    )
    for_gpu = [name for name, _ in rows if name.startswith(GPU_PARTS)]
    others = [file for name, file in rows if name not in for_gpu]
    return {
        "num_distributions": len(rows),
        "num_for_any_machine": sum(file.endswith("-none-any.whl") for file in others),
        "wheels_of_the_platform": [file for file in others if not file.endswith("-none-any.whl")],
        "for_a_gpu": for_gpu,
    }


def main() -> None:
    """Resolve and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "wheel", type=Path, help="of hermes-stream, such as dist/hermes_stream-0.1.0-py3-none-any.whl"
    )
    arguments = parser.parse_args()
    found = described(resolve(arguments.wheel.resolve(), "aarch64"))
    document = {
        "machine": machine() | {"command": "python results/platforms.py WHEEL"},
        "platform": f"linux aarch64, glibc 2.{NEWEST_GLIBC}, CPython {PYTHON}",
        "markers": "of requirements, evaluated for this machine: pip has no other way",
        **found,
    }
    (FOLDER / "platforms.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
