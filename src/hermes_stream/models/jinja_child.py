"""Render one chat template in a Python of its own, run as a script by ``models.rendering``.

A template is a program of whoever made the checkpoint. Here it may neither run for long nor take much
memory, and the parent kills it at a deadline. It reads one JSON object, and writes another to the file that
it is given: ``text`` or ``error``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_CPU_SECONDS = 3
_MORE_BYTES = 256 << 20
_BYTES_WITHOUT_STATM = 4 << 30


def limit_resources() -> None:
    """Bound processor time and memory from now on, where the system can."""
    try:
        import resource
    except ImportError:  # Windows has the parent's deadline alone
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _CPU_SECONDS
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        num_bytes = pages * resource.getpagesize() + _MORE_BYTES
    except OSError:
        num_bytes = _BYTES_WITHOUT_STATM
    for kind, limit in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, num_bytes)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def render(wanted: dict[str, Any]) -> dict[str, str]:
    """Return the rendered text, or what went wrong in one line."""
    from transformers.utils.chat_template_utils import render_jinja_template

    limit_resources()
    try:
        (text,), _ = render_jinja_template(
            [wanted["messages"]],
            chat_template=wanted["template"],
            add_generation_prompt=True,
            **wanted["special_tokens"],
        )
    except MemoryError:
        return {"error": f"it needs more than {_MORE_BYTES >> 20} MB of memory"}
    except Exception as error:  # whatever a template does
        lines = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {lines[0][:300]}"}
    if len(text) > wanted["max_characters"]:
        return {"error": f"it writes {len(text):,} characters; accepted: up to {wanted['max_characters']:,}"}
    return {"text": text}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(render(json.load(sys.stdin))), encoding="utf-8")
