"""Measure speed on this machine's processor: python results/speed.py NAME ...

``tiny`` and ``tiny_qwen`` are the embedded models with all policies, ``true_shape`` is a published size with
random weights, ``streams`` puts many streams of the first embedded model under load. Each is one run of
``hermes bench``, whose document is stored as ``speed_NAME.json``; its figures go to docs/pictures.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PICTURES = FOLDER.parent / "docs" / "pictures"
LENGTHS = ("--frames", "16,64,256,1024,4096")

RUNS: dict[str, tuple[str, ...]] = {
    "tiny": ("--model", "tiny", *LENGTHS, "--max-seconds", "15"),
    "tiny_qwen": ("--model", "tiny-qwen", *LENGTHS, "--max-seconds", "15"),
    "true_shape": (
        *("--random", "llava-onevision-0.5b", "--frames", "2,4", "--chunk-frames", "2"),
        *("--budget-tokens", "392", "--policies", "hermes,reprefill", "--repeats", "3", "--new-tokens", "2"),
    ),
    "streams": ("--model", "tiny", "--streams", "1,4,8,16,32,64", "--seconds", "30"),
}


def bench(
    options: Sequence[str], path: Path, pictures: Path | None = None, *, timeout_seconds: float | None = None
) -> None:
    """Run the command, store its document, and keep its figures under the document's name.

    Until it ends, what was measured so far is in a folder beside the document, and stays there if this
    program is killed; if the command fails or is ended, it is what is stored.

    Args:
        options: of ``hermes bench``, as on a command line.
        path: where the document goes.
        pictures: folder for the figures; None draws none.
        timeout_seconds: end the run behind these; None waits for it.

    Raises:
        subprocess.SubprocessError: the run failed, or took longer.
    """
    folder = path.with_name(f".{path.stem}")
    command = [sys.executable, "-m", "hermes_stream", "bench", *options, "--out", str(folder)]
    command.append("--plots" if pictures else "--no-plots")
    try:
        subprocess.run(command, check=True, timeout=timeout_seconds)
    finally:
        keep(path, pictures)


def keep(path: Path, pictures: Path | None = None) -> None:
    """Store what a run has left in the folder beside its document, unless it is nothing."""
    folder = path.with_name(f".{path.stem}")
    if (folder / "bench.json").exists():
        document = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        if document["is_finished"] or document["runs"] or document["streams"]:
            write(path, document)
        for figure in folder.glob("*.png") if pictures else ():
            shutil.copy(figure, pictures / f"{path.stem}_{figure.name}")
    shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


class Record:
    """A document that is stored after each step.

    Args:
        path: where.
        document: what is known before the first step.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self._path = path
        self.document = document | {"sizes": {}, "failed": {}, "is_finished": False}

    def step(self, name: str, work: Callable[[], Any], *, into: dict[str, Any] | None = None) -> None:
        """Do a step and store what it finds, or why it failed."""
        try:
            (self.document if into is None else into)[name] = work()
        except Exception as error:
            self.document["failed"][name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        self.store()

    def store(self) -> None:
        """Write the document."""
        write(self._path, self.document)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(RUNS))
    for name in parser.parse_args().names:
        bench(RUNS[name], FOLDER / f"speed_{name}.json", PICTURES)


if __name__ == "__main__":
    main()
