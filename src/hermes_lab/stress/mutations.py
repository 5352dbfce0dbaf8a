"""Damage to files, the same for the same seed. Knows nothing of what the bytes mean but for some marks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Names of fields or boxes behind which containers keep sizes, times and counts.
_MARKS = (
    *(b"mvhd", b"tkhd", b"mdhd", b"elst", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"stsd", b"avcC"),
    *(
        b"hvcC",
        b"av1C",
        b"pasp",
        b"clap",
        b"trun",
        b"tfhd",
        b"tfdt",
        b"sidx",
        b"ispe",
        b"iloc",
        b"ipma",
        b"irot",
    ),
    *(b"\x2a\xd7\xb1", b"\x44\x89", b"\xe0", b"\xb0", b"\xba", b"\x23\xe3\x83", b"\xa3", b"\xe7"),  # Matroska
    *(b"avih", b"strh", b"strf", b"idx1", b"movi", b"IHDR", b"acTL", b"fcTL", b"Exif", b"eXIf", b"VP8X"),
    *(
        b"\xff\xc0",
        b"\xff\xe1",
        b"\x00\x00\x01",
        b"\x47",
        b"DKIF",
        b"FLV",
        b"duration",
        b"width",
        b"W16",
        b"F10",
    ),
)
_EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 62,
    (1 << 64) - 1,
)


def flip_bits(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Flip 1 to 200 bits anywhere."""
    for place in rng.integers(0, len(content), int(np.exp(rng.uniform(0, np.log(200))))).tolist():
        content[place] ^= 1 << int(rng.integers(8))
    return content


def cut(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Drop the end, the start or a piece in the middle."""
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    kept = (content[:start], content[start:], content[:start] + content[end:])
    return kept[int(rng.integers(3))]


def swap_blocks(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Exchange two pieces of one length."""
    length = int(rng.integers(1, max(2, len(content) // 4)))
    first, second = rng.integers(0, max(1, len(content) - length), 2).tolist()
    one, other = content[first : first + length], content[second : second + length]
    content[first : first + len(other)], content[second : second + len(one)] = other, one
    return content


def repeat_block(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Insert a piece again, up to 20 times, somewhere else."""
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    place = int(rng.integers(0, len(content) + 1))
    times = int(rng.integers(1, 21)) if end - start < 5000 else 1
    return content[:place] + content[start:end] * times + content[place:]


def lie(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Overwrite 1 to 4 numbers behind marks of containers, or near an end of the file, with extreme ones."""
    for _ in range(int(rng.integers(1, 5))):
        place = _place_of_a_number(content, rng)
        width = int(rng.choice([1, 2, 4, 8]))
        is_random = rng.random() < 0.3
        number = (
            int(rng.integers(1 << 62)) if is_random else int(rng.choice(np.array(_EXTREMES, dtype=object)))
        )
        order = "big" if rng.random() < 0.7 else "little"
        written = (number % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
        content[place : place + width] = written
    return content


def blank(content: bytearray, rng: np.random.Generator) -> bytearray:
    """Overwrite a piece with zeros, ones or noise."""
    start, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
    end = min(end, start + int(rng.integers(1, 4000)))
    filled = (bytes(end - start), b"\xff" * (end - start), rng.bytes(end - start))
    content[start:end] = filled[int(rng.integers(3))]
    return content


MUTATIONS: dict[str, Callable[[bytearray, np.random.Generator], bytearray]] = {
    "bits": flip_bits,
    "cut": cut,
    "swapped": swap_blocks,
    "repeated": repeat_block,
    "lies": lie,
    "blank": blank,
}


def mutated(content: bytes, rng: np.random.Generator) -> tuple[bytes, tuple[str, ...]]:
    """Return content with one to three kinds of damage, and their names; lying headers come most often."""
    names = list(MUTATIONS)
    odds = np.array([3.0 if name == "lies" else 1.0 for name in names])
    chosen = rng.choice(names, size=int(rng.choice([1, 1, 1, 2, 3])), p=odds / odds.sum()).tolist()
    result = bytearray(content)
    for name in chosen:
        if result:
            result = MUTATIONS[name](result, rng)
    return bytes(result), tuple(chosen)


def _place_of_a_number(content: bytearray, rng: np.random.Generator) -> int:
    if rng.random() < 0.7:
        mark = _MARKS[int(rng.integers(len(_MARKS)))]
        start = content.find(mark, int(rng.integers(max(1, len(content)))))
        found = start if start >= 0 else content.find(mark)
        if found >= 0:
            return min(len(content) - 1, found + len(mark) + int(rng.integers(0, 48)))
    reach = min(512, len(content))
    place = int(rng.integers(reach))
    return place if rng.random() < 0.7 else len(content) - 1 - place
