"""Count what published sizes take, from their shapes alone: python results/published.py.

No weights are read. Writes published.json, from which results/readme.py makes the tables of models.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from measure import FOLDER, machine

from hermes_lab.training.shapes import SHAPES, build_config
from hermes_stream.cli.catalogue import CatalogueEntry, list_models
from hermes_stream.models.loading.footprint import measure_footprint
from hermes_stream.models.qwen_vl import MAX_VIDEO_TOKENS

CHUNK_FRAMES = 16
TEXT_TOKENS = 2048
_FRAMES_PER_PATCH = {"qwen2_vl": 2, "qwen2_5_vl": 2, "qwen3_vl": 2}


def published() -> dict[str, Any]:
    """Count every published size of the supported families, in 16 bits a number."""
    sizes = {entry.size: _count(entry) for entry in list_models() if entry.size is not None}
    return {"bits": 16, "chunk_frames": CHUNK_FRAMES, "sizes": sizes}


def _count(entry: CatalogueEntry) -> dict[str, Any]:
    shape = SHAPES[entry.size or ""]
    dtype = torch.bfloat16
    weight_bytes = shape.num_parameters * dtype.itemsize
    footprint = measure_footprint(build_config(shape), weight_bytes=weight_bytes, dtype=dtype)
    positions, budget = shape.text.max_position_embeddings, footprint.budget_tokens
    patch_tokens = shape.tokens_per_temporal_patch or min(MAX_VIDEO_TOKENS, positions // 6)
    num_patches = CHUNK_FRAMES // _FRAMES_PER_PATCH.get(shape.model_type, 1)
    room = max(num_patches * patch_tokens, min(TEXT_TOKENS, positions // 8))
    return {
        "model_type": shape.model_type,
        "hub_name": shape.hub_name,
        "num_parameters": shape.num_parameters,
        "weight_bytes": weight_bytes,
        "kv_bytes_per_token": shape.kv_bytes_per_token,
        "budget_tokens": budget,
        "room_tokens": room,  # of a chunk, or of a question and its answer
        "stream_bytes": footprint.bytes_per_token * (budget + room),  # without the few tokens of the prefix
        "tokens_per_temporal_patch": shape.tokens_per_temporal_patch,
        "fps": entry.default_fps,
        "max_positions": positions,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "published.json")
    document = {"machine": machine(), **published()}
    parser.parse_args().out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
