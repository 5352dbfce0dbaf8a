"""What is free of the host's memory, known without torch."""

from __future__ import annotations

from pathlib import Path


def host_free_bytes(root: Path = Path("/")) -> int | None:
    """Return what Linux could give to a new program, within the limit of its container.

    Args:
        root: folder of ``proc`` and ``sys``; other systems have no such files, and None is returned.
    """
    lines = _lines(root / "proc/meminfo")
    kilobytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    if not kilobytes:
        return None
    free = int(kilobytes[0]) * 1024
    limit = _lines(root / "sys/fs/cgroup/memory.max")
    if not limit or not limit[0].isdigit():
        return free
    used = dict(line.split(maxsplit=1) for line in _lines(root / "sys/fs/cgroup/memory.stat"))
    return min(free, int(limit[0]) - int(used.get("anon", 0)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
