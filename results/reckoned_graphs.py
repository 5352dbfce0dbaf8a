"""Reckon what captured forwards of text take: python results/reckoned_graphs.py [--out FILE] [--smoke].

``reckoned_graphs.json`` holds, for texts of each length alone in a forward of the true shapes of 7B, the most
bytes of live tensors in it, and of those the ones that stay for its next replay, on torch's meta device, see
``reckoned_memory.py``: a reckoning, and no measurement. Forwards share one pool and are never replayed at the
same time, so that a pool takes the most of one of them and what stays of all. Both ways to read a text are
told: divided in parts, and as a whole. ``--smoke`` reckons two lengths of one model.
"""

import argparse
import gc
import json
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from measure import FOLDER, machine
from reckoned_memory import BUDGET, CHUNK_FRAMES, LiveBytes, on_meta
from torch import Tensor

SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
LENGTHS = (1, 32, 64, 128, 256, 512)


def packed(queries: Tensor, *_: Any, **__: Any) -> Tensor:
    """Return what a kernel for packed sequences returns, without its numbers."""
    return torch.empty_like(queries)


def summing(queries: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    """Return that and the sums of each row."""
    rows, heads = queries.shape[:2]
    return torch.empty_like(queries), queries.new_empty(heads, rows, dtype=torch.float32)


def reckon(size: str, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the bytes of each length."""
    from hermes_lab.training.random_weights import random_model
    from hermes_stream import HermesPolicy, Session
    from hermes_stream.blocks import BufferBlock
    from hermes_stream.stream import graphs

    model = random_model(size, device="meta")
    parts = (model.vision, model.decoder, model.head)
    weights = chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts)
    rows = []
    with LiveBytes([*weights, model.video_end]) as count, torch.inference_mode():
        cache = Session(model, HermesPolicy.best(BUDGET), chunk_frames=CHUNK_FRAMES).cache
        block = BufferBlock(model.layout, cache.buffers.capacities[0], 1)
        for length in lengths:
            for is_in_parts in (False, True):
                kernels = {"packed_kernel": packed, "summing_kernel": summing if is_in_parts else None}
                made = {name: lambda *_, own=kernel: own for name, kernel in kernels.items()}
                with mock.patch.multiple(graphs, **made, _LONGEST_IN_PARTS=LENGTHS[-1]):
                    gc.collect()  # the forward before
                    before = count.live
                    shape = graphs._Shape(length, length > 8)
                    forward = graphs._Forward(model, block, shape)
                    forward.place_nothing(cache)
                    most = count.of(forward._compute) - before
                    rows.append(
                        {
                            "model": size,
                            "num_tokens": length,
                            "is_in_parts": is_in_parts,
                            "forward_bytes": most,
                            "stays_bytes": count.live - before,
                            "at": count.at_peak,
                        }
                    )
                    del forward
    return rows


def main() -> None:
    """Reckon and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "reckoned_graphs.json")
    parser.add_argument("--smoke", action="store_true", help="two lengths of one model")
    given = parser.parse_args()
    with on_meta():
        each = [(SIZES[0], (1, 32))] if given.smoke else [(size, LENGTHS) for size in SIZES]
        rows = [row for size, lengths in each for row in reckon(size, lengths)]
    given.out.write_text(json.dumps(machine() | {"like_7b": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
