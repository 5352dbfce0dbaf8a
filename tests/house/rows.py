"""Who may import whom: rows of rooms, and the rooms of packages from outside."""

from __future__ import annotations

import sys

# From the ground up. A room imports lower rows; the rooms of one row do not know each other.
ROWS: list[set[str]] = [
    {"errors", "_version"},
    {"plugins", "fields", "saved", "host"},
    {"memory", "video"},
    {"layout", "masks", "mark", "layer_views", "last_step"},
    {"eight_bits", "attention_weights", "attention_kernels"},
    {"buffers"},
    {"records", "blocks", "packed_kernel"},
    {"cache", "policies", "filters"},
    {"retrieval", "saved_cache", "parted_reading"},
    {"attention_batch", "fixed_text", "segments"},
    {"packed"},
    {"attention"},
    {"models"},
    {"stream"},
    {"synthetic", "tiny", "digest"},
    {"service"},
    {"recipes"},
    {"server", "client"},
    {"cluster"},
    {"cli"},
    {"__init__", "__main__"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
LAB_ROOMS = {
    f"hermes_lab.{room}"
    for room in ("evaluation", "datasets", "bench", "analysis", "training", "sentences", "stress", "cli")
}
LAB_COMMANDS = {"hermes_lab.cli", "hermes_lab.stress"}
"""Rooms of the lab that are commands: they may use the product's command line, print, and know each other."""
ROOMS = set(ROW_OF) | LAB_ROOMS | {"hermes_lab."}

# What imports nothing from outside but these, whatever the table below says.
GROUND = {
    "errors": set(),
    "_version": set(),
    "plugins": set(),
    "fields": set(),
    "host": set(),
    "memory": {"torch", "jaxtyping"},
    "video": {"numpy", "av"},
    "client": {"httpx", "httpx_sse"},
}
_ANY = ROOMS - set(GROUND)
# Packages from outside and the rooms that may import them; no other package is imported at all.
PACKAGES: dict[str, set[str]] = {
    "torch": _ANY | {"memory"},
    "jaxtyping": _ANY | {"memory"},
    "numpy": _ANY | {"video"},
    "av": {"video"},
    "transformers": {
        *("attention", "models", "hermes_lab.training", "hermes_lab.datasets", "hermes_lab.stress"),
        "hermes_lab.sentences",
    },
    "tokenizers": {"models", "hermes_lab.training", "hermes_lab.stress"},
    "huggingface_hub": {"models", "cli"},
    "safetensors": {"models", "stream", "hermes_lab.training", "hermes_lab.stress"},
    "torchao": {"models"},
    "accelerate": {"models"},
    "pyarrow": {"hermes_lab.datasets"},
    "matplotlib": LAB_ROOMS,
    "typer": {"cli", "hermes_lab.cli"},
    "click": {"cli", "hermes_lab.cli"},
    "rich": {"cli", "hermes_lab.cli"},
    "prompt_toolkit": {"cli", "hermes_lab.cli"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "uvicorn": {"server", "cluster"},
    "prometheus_client": {"server"},
    "cryptography": {"server"},
    "opentelemetry": {"server"},
    "mcp": {"server"},
    "pydantic": {"server"},
    "fsspec": {"service"},
    "sqlalchemy": {"service"},
    "alembic": {"service"},
    "zstandard": {"service"},
    "aiomqtt": {"service"},
    "httpx_sse": {"client"},
    "httpx": {"client", "service", "cluster", "hermes_lab.stress"},
    "websockets": {"cluster", "hermes_lab.stress"},
    "ray": {"cluster"},
}
# Modules that may import what their room may not.
PACKAGES_OF_MODULE = {
    "hermes_stream.service.postgres": {"psycopg"},
    "hermes_stream.service.settings": {"pydantic"},
    "hermes_stream.service.watch_settings": {"pydantic"},
    "hermes_stream.service.settings_files": {"pydantic", "pydantic_core"},
}
# Modules that may set loggers of other libraries for a while, and put them back.
QUIETING_MODULES = {"hermes_stream.models.loading.messages"}

STANDARD = sys.stdlib_module_names
