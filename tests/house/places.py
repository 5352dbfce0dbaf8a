"""Where breaches are planted."""

from __future__ import annotations

MEMORY = "hermes_stream/memory/planted.py"
STREAM = "hermes_stream/stream/planted.py"
POLICY = "hermes_stream/policies/planted.py"
LOADING = "hermes_stream/models/loading/planted.py"
COMMAND = "hermes_stream/cli/planted.py"
BENCH = "hermes_lab/bench/planted.py"
LAB_COMMAND = "hermes_lab/cli/planted.py"
