"""Measure speed and memory on a GPU, all that the project aims at: python results/gpu.py [--smoke].

Two published sizes with random weights, bfloat16, 4,000 visual tokens, a question of 32 tokens: nothing is
downloaded. It fits half an hour, in parts of three to five minutes, the most telling first: a look at the
device for a minute (``gpu_probe.py``), then for each size the length of the stream, a frame's arrival and up
to 16 streams, then rivals of both sizes, and 64 streams last. 4,096 frames stand beside the 64, 256 and 1,024
that are aimed at, since they take 40 s and show best that nothing grows.

Each part's document is ``gpu_SIZE_PART.json`` in ``--out``, that of the look ``gpu_probe.json``, with the
commit and a digest of the code that it was measured with. It is stored row by row: what a part had measured
when it failed or was ended stays, marked as unfinished, and the others go on. Figures lie beside them. What
was measured with today's code and options is passed over, so that a run that was stopped goes on; what is
unfinished or of other code is measured again, unless ``--keep``. ``--minutes`` begins no part that might end
later. ``gpu_aims.json`` then says of every aim what was measured so far and whether it is met, and names what
is missing with its reason. It takes a GPU with 80 GB or more. ``--smoke`` runs the same with an embedded
model on the processor, into another folder; its figures mean nothing.
"""

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from gpu_aims import Measured, judge
from speed import FOLDER, bench, keep, write

SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
SHARED = (
    *("--dtype", "bfloat16", "--budget-tokens", "4000", "--question-tokens", "32", "--size", "392"),
    "--defer-compressions",  # as a service does
)
PROBE = "probe"
PART_SECONDS = {"rivals": 300, "": 180}
"""After which a part is ended; "" is all others."""
GPU = {
    "length": ("--frames", "64,256,1024,4096", "--policies", "hermes"),
    "arrival": ("--frames", "64,256", "--policies", "hermes", "--chunk-frames", "1"),
    "streams": (
        *("--streams", "1,8,16", "--streams-per-block", "16"),
        *("--policies", "hermes", "--seconds", "5"),
    ),
    "rivals": ("--frames", "64,256", "--max-seconds", "5"),
    # Each block's answers read all weights apart.
    "streams_64": (
        *("--streams", "64", "--streams-per-block", "64"),
        *("--policies", "hermes", "--seconds", "10"),
    ),
}
_QUICK = ("--size", "72", "--repeats", "3", "--new-tokens", "2")
SMOKE = {
    "length": ("--frames", "4,8,12", "--policies", "hermes", *_QUICK),
    "arrival": ("--frames", "4,8", "--policies", "hermes", "--chunk-frames", "1", *_QUICK),
    "streams": ("--streams", "1,8,16", "--policies", "hermes", "--seconds", "1", *_QUICK),
    "rivals": ("--frames", "4,8", "--max-seconds", "5", *_QUICK),
    "streams_64": ("--streams", "20", "--policies", "hermes", "--seconds", "1", *_QUICK),
}
LAST = ("rivals", "streams_64")
"""Parts that come behind all other parts of all sizes."""


@dataclass(frozen=True)
class Part:
    """A part of the measurements: its name, its size and its options; the probe looks at all sizes."""

    name: str
    size: str
    options: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return what its document is called."""
        return f"gpu_{self.name}" if self.name == PROBE else f"gpu_{self.size}_{self.name}"

    @property
    def limit_seconds(self) -> int:
        """Return after how many seconds it is ended."""
        return PART_SECONDS.get(self.name, PART_SECONDS[""])


def parts(sizes: Sequence[str], *, smoke: bool) -> list[Part]:
    """Return all parts in the order in which they are measured."""
    named = [name for name in GPU if name not in LAST]
    order = [(size, name) for size in sizes for name in named]
    order += [(size, name) for name in LAST for size in sizes]
    models = {size: ("--random", size, *SHARED, "--device", "cuda") for size in sizes}
    if smoke:
        models = {name: ("--model", name, "--device", "cpu") for name in sizes}
    options = SMOKE if smoke else GPU
    probe = Part(PROBE, "", (*sizes, *(("--smoke",) if smoke else ())))
    return [probe, *(Part(name, size, (*models[size], *options[name])) for size, name in order)]


def made_by(part: Part) -> dict[str, Any]:
    """Say with what a part is measured now: options, and a digest of the code, which needs no git."""
    return {"code": code_digest(), "options": list(part.options)}


@cache
def code_digest() -> str:
    """Return a digest of all code that is measured, as it was when it was asked for first."""
    digest = hashlib.sha256()
    for path in (*sorted((FOLDER.parent / "src").rglob("*.py")), FOLDER / "gpu_probe.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit() -> str | None:
    """Return the commit that the code is of; None where git does not know."""
    command = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (subprocess.SubprocessError, OSError):
        return None


@dataclass
class Measurements:
    """The documents in a folder, and what was tried for them.

    Attributes:
        folder: where documents and figures are.
        parts: in the order in which they are measured.
        failed: parts that did not end as they should, and why.
        left: parts that were not begun, and why.
        commit: what new documents are of.
    """

    folder: Path
    parts: list[Part]
    failed: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    commit: str | None = None

    def path(self, part: Part) -> Path:
        """Return where the document of a part is, or will be."""
        return self.folder / f"{part.key}.json"

    def document(self, part: Part) -> dict[str, Any] | None:
        """Return what is stored of a part."""
        path = self.path(part)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def is_done(self, part: Part, *, keep_other_code: bool) -> bool:
        """Tell whether a part need not be measured: it is whole, and of today's code and options."""
        document = self.document(part)
        if document is None or not document.get("is_finished", True):
            return False
        return keep_other_code or document.get("made_by") == made_by(part)

    def measure(self, part: Part, *, draw: bool) -> None:
        """Measure a part; what it had measured when it failed or was ended is stored as well."""
        path, before = self.path(part), self.document(part)
        try:
            if part.name == PROBE:
                command = [sys.executable, str(FOLDER / "gpu_probe.py"), *part.options, "--out", str(path)]
                subprocess.run(command, check=True, timeout=part.limit_seconds, stdout=subprocess.DEVNULL)
            else:
                pictures = self.folder if draw else None
                bench(part.options, path, pictures, timeout_seconds=part.limit_seconds)
        except subprocess.TimeoutExpired:
            self.failed[part.key] = f"ended behind {part.limit_seconds} s"
        except subprocess.CalledProcessError as error:
            self.failed[part.key] = f"its program ended with {error.returncode}; see its messages"
        except OSError as error:
            self.failed[part.key] = str(error)
        if (document := self.document(part)) not in (None, before):
            document |= {"commit": self.commit, "made_by": made_by(part)}
            write(path, document)

    def report(self) -> dict[str, Any]:
        """Compare what is stored with what the project aims at, and store that too."""
        sizes, missing, stored = {}, {}, {}
        found = {part: document for part in self.parts if (document := self.document(part)) is not None}
        for part, document in found.items():
            is_todays = document.get("made_by") == made_by(part)
            stored[part.key] = {"commit": document.get("commit"), "is_of_todays_code": is_todays}
            stored[part.key]["is_finished"] = document.get("is_finished", True)
        for size in dict.fromkeys(part.size for part in self.parts if part.size):
            own = [part for part in self.parts if part.size in ("", size)]
            measured = Measured(
                size,
                {part.name: found[part] for part in own if part in found},
                {part.name: (self.failed | self.left).get(part.key, "not measured") for part in own},
            )
            sizes[size], missing[size] = judge(measured)
        report = {"sizes": sizes, "missing": missing, "failed": self.failed, "documents": stored}
        write(self.folder / "gpu_aims.json", report)
        return report


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Write a report for people."""
    for name, why in report["failed"].items():
        yield f"{name} failed: {why}"
    for name, own in report["documents"].items():
        if not own["is_of_todays_code"]:
            yield f"{name} is of {own['commit'] or 'a commit that it does not name'}, or of other options"
    for size, judged in report["sizes"].items():
        yield f"\n{size}"
        for one in judged:
            bound = f"at most {one['at_most']:g}" if "at_most" in one else f"at least {one['at_least']:g}"
            verdict = "met" if one["met"] else "MISSED"
            yield f"  {verdict:7}  {one['aim']}: {one['measured']:.4g} ({bound})"
        for one in report["missing"][size]:
            yield f"  missing  {one['what']}: {one['why']}"


def main() -> None:
    """Measure, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="an embedded model, on the processor")
    parser.add_argument("--out", type=Path, help="default: this folder, or .smoke with --smoke")
    parser.add_argument("--only", nargs="+", choices=[PROBE, *GPU], default=(), help="parts; default: all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no part that might end later")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="pass over whatever is stored and finished; without it, a part is measured again if its code or "
        "options are not today's",
    )
    parser.add_argument("--commit", help="of the code, where git does not know; default: what git says")
    given = parser.parse_args()
    folder = given.out or (FOLDER / ".smoke" if given.smoke else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = ("tiny",) if given.smoke else SIZES
    measurements, began = Measurements(folder, parts(sizes, smoke=given.smoke)), time.monotonic()
    measurements.commit = given.commit or commit()
    for part in measurements.parts:
        keep(measurements.path(part))  # of a run that was killed
        left = 60 * given.minutes - (time.monotonic() - began)
        is_asked = not given.only or part.name in given.only
        if is_asked and not measurements.is_done(part, keep_other_code=given.keep):
            if part.limit_seconds <= left:
                measurements.measure(part, draw=not given.smoke)
                measurements.report()
            else:
                measurements.left[part.key] = "not begun: too little time was left"
    report = measurements.report()
    sys.stdout.write("\n".join(lines(report)) + "\n")


if __name__ == "__main__":
    main()
