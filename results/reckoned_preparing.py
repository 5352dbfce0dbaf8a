"""Reckon what preparing pictures takes: python results/reckoned_preparing.py [--out FILE] [--smoke].

``reckoned_preparing.json`` holds the most bytes of live tensors on the device while 16 pictures become what
the vision tower of a 7B model reads, what is left of them, and how many operations a GPU is asked for, on
torch's meta device, see ``reckoned_memory.py``: a reckoning, and no measurement.
``reckoned_preparing_before.json`` is the same of the code before, which resized a picture of 1080 rows alone
and normalised all at once. ``--smoke`` reckons small pictures.
"""

import argparse
import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import FOLDER, machine
from reckoned_memory import LiveBytes, on_meta

SIZES = ("llava-onevision-7b", "qwen2.5-vl-7b")
PICTURES = ((392, 392), (720, 1280), (1080, 1920), (2160, 3840))
"""Rows and columns."""
NUM_PICTURES = 16
_NO_KERNEL = ("empty", "new_empty", "detach", "lift_fresh", "_unsafe_view")


class Preparing(LiveBytes):
    """Counts the bytes that are alive, and what is launched.

    Attributes:
        num_kernels: operations that make or change something on the device.
    """

    num_kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = super().__torch_dispatch__(func, types, args, kwargs)
        name = func._schema.name.removeprefix("aten::")
        is_there = isinstance(made, torch.Tensor) and made.device.type == "meta"
        self.num_kernels += is_there and not func.is_view and name not in _NO_KERNEL
        return made


def reckon(size: str, rows: int, columns: int) -> dict[str, Any]:
    """Return the bytes and launches of one chunk of pictures."""
    from hermes_lab.training.random_weights import random_model
    from hermes_stream import Frame

    model = random_model(size, device="meta")
    image = np.zeros((rows, columns, 3), np.uint8)
    frames = [Frame(pts_seconds=float(k), image=image) for k in range(NUM_PICTURES)]
    parts = (model.vision, model.decoder, model.head)
    weights = list(chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts))
    with torch.inference_mode():
        model.prepare(frames)  # makes the weights of resizing, which last
        with Preparing(weights) as count:
            prepared = []
            most = count.of(lambda: prepared.append(model.prepare(frames)))
    return {
        "model": size,
        "picture_rows": rows,
        "picture_columns": columns,
        "num_pictures": NUM_PICTURES,
        "prepare_bytes": most,
        "pixels_bytes": prepared[0].values.nbytes,
        "at": count.at_peak,
        "num_kernels": count.num_kernels,
    }


def main() -> None:
    """Reckon and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "reckoned_preparing.json")
    parser.add_argument("--smoke", action="store_true", help="small pictures alone")
    given = parser.parse_args()
    with on_meta():
        rows = [reckon(size, *shape) for size in SIZES for shape in PICTURES[: 1 if given.smoke else None]]
    given.out.write_text(json.dumps(machine() | {"like_7b": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
