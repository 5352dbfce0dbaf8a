"""``hermes reload``: a running service opens the streams that its settings file has got."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hermes_stream.cli.options import JsonOption
from hermes_stream.cli.output import print_json, say
from hermes_stream.cli.pid_file import read_pid
from hermes_stream.cli.serving import FolderOption
from hermes_stream.errors import ServiceError


def reload(*, folder: FolderOption = Path("hermes-data"), json: JsonOption = False) -> None:
    """Let a running service on this machine open the new streams of its settings file."""
    number = read_pid(folder)
    if not hasattr(signal, "SIGHUP"):
        raise ServiceError("this system has no SIGHUP; open streams by POST /v1/streams, or start again")
    os.kill(number, signal.SIGHUP)
    if json:
        print_json({"pid": number})
    else:
        say(f"told the service (program {number}); its log says what it opened")
