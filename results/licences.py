"""Write the tables of docs/licences.md from what is installed: python results/licences.py [--check].

The distributions are those that ``hermes-stream[server,mcp,mqtt]`` brings, by the names in pyproject.toml and
the metadata of each. One that is missing from constraints.txt, is installed in another version, or has a
licence that nobody has looked at ends the script: the page would be about something else.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import av
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tables import FOLDER, filled, table, write_page

ROOT = FOLDER.parent
EXTRAS = ("server", "mcp", "mqtt")
NOT_IN_CPU_BUILD = ("nvidia-", "cuda-", "triton")
"""What torch brings where it computes on a GPU; the page says so in words."""

# As metadata spells a licence, and its SPDX identifier; "BSD" where metadata does not say which.
SPELLINGS = {
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD": "BSD",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
JUDGED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python"),
    "EPL-2.0",  # of paho-mqtt, beside BSD-3-Clause, which is ours to choose
    *("ISC", "LGPL-3.0-only", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib", "LLVM-exception"),
}  # fmt: skip

# Libraries in PyAV's wheel for Linux, by the beginning of their file's name.
LIBRARIES = {
    "libSvtAv1Enc": ("SVT-AV1", "BSD-3-Clause-Clear"),
    "libXau": ("libXau", "MIT"),
    "libasound": ("alsa-lib", "LGPL-2.1-or-later"),
    "libav": ("FFmpeg", "LGPL-3.0-or-later, by its own word"),
    "libdav1d": ("dav1d", "BSD-2-Clause"),
    "libdrm": ("libdrm", "MIT"),
    "libgmp": ("GMP", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
    "libgnutls": ("GnuTLS", "LGPL-2.1-or-later"),
    "libhogweed": ("Nettle", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
    "libmp3lame": ("LAME", "LGPL-2.0-or-later"),
    "libnettle": ("Nettle", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
    "libopencore": ("opencore-amr", "Apache-2.0"),
    "libopus": ("Opus", "BSD-3-Clause"),
    "libsharpyuv": ("libwebp", "BSD-3-Clause"),
    "libswresample": ("FFmpeg", "LGPL-3.0-or-later, by its own word"),
    "libswscale": ("FFmpeg", "LGPL-3.0-or-later, by its own word"),
    "libunistring": ("libunistring", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
    "libvpl": ("libvpl", "MIT"),
    "libvpx": ("libvpx", "BSD-3-Clause"),
    "libwebp": ("libwebp", "BSD-3-Clause"),
    "libx264": ("x264", "**GPL-2.0-or-later**, or a licence that is bought"),
    "libx265": ("x265", "**GPL-2.0-or-later**, or a licence that is bought"),
    "libxcb": ("libxcb", "MIT"),
}


def pins() -> dict[str, str]:
    """Return the versions of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version.strip() for name, version in pairs}


def shipped() -> dict[str, Distribution]:
    """Return the distributions that the extras bring, by name.

    Raises:
        SystemExit: one is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(one for extra in EXTRAS for one in project["optional-dependencies"][extra]),
    ]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(one) for one in wanted]
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen or name.startswith(NOT_IN_CPU_BUILD):
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is missing; install: pip install -c constraints.txt -e '.[server,mcp,mqtt]'")
        todo += required(found[name], extras)
    return dict(sorted(found.items()))


def required(one: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a distribution needs here, with those of its extras that are wanted."""
    for requirement in map(Requirement, one.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {*extras, ""}):
            yield requirement


def licence(one: Distribution) -> str:
    """Return a distribution's licence.

    Raises:
        SystemExit: its metadata tell none, or one that nobody has looked at.
    """
    told = one.metadata.get("License-Expression")
    classifiers = [it for it in one.metadata.get_all("Classifier") or () if it.startswith("License ::")]
    named = [SPELLINGS.get(it.rpartition(" :: ")[2], it.rpartition(" :: ")[2]) for it in classifiers]
    short = (one.metadata.get("License") or "").partition("\n")[0].strip()
    found: str = told or " AND ".join(sorted(set(named) - {"OSI Approved"})) or SPELLINGS.get(short, short)
    unknown = set(re.findall(r"[\w.+-]+", found)) - {"AND", "OR", "WITH"} - JUDGED
    if not found or unknown:
        sys.exit(
            f"{one.name} {one.version} has the licence {found or 'none'!r}, which nobody has looked at; "
            "read it, and add it to JUDGED or SPELLINGS in results/licences.py"
        )
    return found


def distributions() -> str:
    """Write which distributions have which licence."""
    by_licence = defaultdict(list)
    pinned = pins()
    for name, one in shipped().items():
        installed = one.version.partition("+")[0]
        if pinned.get(name) != installed:
            sys.exit(
                f"{name} {installed} is installed, and constraints.txt says "
                f"{pinned.get(name, 'nothing of it')}; bring them together"
            )
        by_licence[licence(one)].append(name)
    rows = sorted(by_licence.items(), key=lambda row: (-len(row[1]), row[0]))
    return table(
        ["licence", "", "distributions"], [[key, str(len(own)), ", ".join(own)] for key, own in rows]
    )


def pyav() -> str:
    """Write which libraries PyAV's wheel holds.

    Raises:
        SystemExit: it holds one that is not in the list, or it is no wheel for Linux.
    """
    folder = Path(av.__file__).parents[1] / "av.libs"
    names = sorted(path.name for path in folder.glob("*"))
    if not names:
        sys.exit(
            f"{folder} holds nothing: this page is about PyAV's wheel for Linux, and another is installed"
        )
    held = defaultdict(set)
    for name in names:
        beginning = max((one for one in LIBRARIES if name.startswith(one)), key=len, default=None)
        if beginning is None:
            sys.exit(f"PyAV's wheel holds {name}, which nobody has looked at; add it to LIBRARIES")
        library, terms = LIBRARIES[beginning]
        held[terms].add(library)
    return table(
        ["licence", "libraries"], [[key, ", ".join(sorted(own))] for key, own in sorted(held.items())]
    )


def configured() -> str:
    """Write how the FFmpeg in it says that it was built."""
    from av._core import library_meta

    (meta,) = {(one["license"], one["configuration"]) for one in library_meta.values()}
    switches = re.findall(r"--enable-(?:gpl|nonfree|version3|libx26[45])(?= |$)", meta[1])
    is_gpl = "--enable-gpl" in switches
    return (
        f'`av.__version__` {av.__version__}: licence "{meta[0]}"; of the switches that decide, there '
        f"{'are' if len(switches) > 1 else 'is'} `{' '.join(switches)}`, and "
        f"{'' if is_gpl else 'no '}`--enable-gpl`."
    )


PARTS = {"distributions": distributions, "pyav": pyav, "configured": configured}


def fill(page: str) -> str:
    """Return the page with its tables written anew."""
    return filled(page, lambda _, part: PARTS[part]())


if __name__ == "__main__":
    write_page(ROOT / "docs" / "licences.md", fill, __doc__)
