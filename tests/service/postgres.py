"""A Postgres server for tests: Debian's, started once in a folder of its own, over a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """Return where a program of Postgres lies."""
    return next((str(place / name) for place in _PLACES if (place / name).exists()), shutil.which(name))


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Run a server; yields the beginning of its databases' addresses. Skips the test where there is none."""
    missing = [name for name in ("initdb", "postgres", "createdb", "pg_ctl") if program(name) is None]
    if missing:
        pytest.skip(f"Postgres is not installed ({', '.join(missing)}); apt-get install postgresql")
    user = {}
    if os.getuid() == 0:  # it refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("Postgres does not run as root, and there is no user postgres")
        for place in (folder, *folder.parents[:3]):
            if place.stat().st_uid == 0 and "pytest" in str(place):
                place.chmod(0o755)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "env": {"PATH": os.environ["PATH"]}}
    base = folder / "base"
    run = {"capture_output": True, "cwd": folder, "timeout": 60, **user}
    subprocess.run(
        [program("initdb"), "-D", base, "-A", "trust", "-U", "hermes", "-E", "UTF8"], check=True, **run
    )
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    start = [program("pg_ctl"), "-D", base, "-w", "-l", folder / "log", "-o", options, "start"]
    subprocess.run(start, **run | {"capture_output": False, "stdout": subprocess.DEVNULL}, check=True)
    try:
        yield f"postgresql://hermes@/{{}}?host={folder}"
    finally:
        subprocess.run([program("pg_ctl"), "-D", base, "-m", "immediate", "stop"], check=True, **run)


def new_database(address: str, folder: Path) -> str:
    """Make an empty database, and return its address."""
    name = f"db{uuid4().hex}"
    command = [program("createdb"), "-h", str(folder), "-U", "hermes", name]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return address.format(name)
