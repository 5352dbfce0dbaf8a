"""Measure whether pictures of high dynamic range are mapped faster together: python results/hdr.py.

``tone_map`` takes one picture at a time; a batch of equal ones, laid below each other, is the same work in
one call. Both take turns; seconds are processor time of one thread, the least of ``ROUNDS``. Writes hdr.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import FOLDER, machine

from hermes_stream.video.sources.tone_mapping import HLG_TRC, PQ_TRC, tone_map

SIZES = ((384, 384), (336, 588), (1080, 1920), (2160, 3840))
BATCH = 8
ROUNDS = 7
SEED = 5
_BT2020 = 9


def measured() -> list[dict[str, Any]]:
    """Map pictures one by one and together, at every size and with both transfer curves."""
    rng = np.random.default_rng(SEED)
    rows = []
    for transfer, name in ((PQ_TRC, "PQ"), (HLG_TRC, "HLG")):
        for height, width in SIZES:
            images = rng.integers(0, 2**16, (BATCH, height, width, 3), dtype=np.uint16)
            together = images.reshape(BATCH * height, width, 3)
            kinds = {"transfer": transfer, "primaries": _BT2020}
            apart_seconds, together_seconds = least_seconds(
                lambda images=images, kinds=kinds: [tone_map(image, **kinds) for image in images],
                lambda together=together, kinds=kinds: tone_map(together, **kinds),
            )
            rows.append(
                {
                    "transfer": name,
                    "height": height,
                    "width": width,
                    "num_pictures": BATCH,
                    "apart_seconds": round(apart_seconds / BATCH, 6),
                    "together_seconds": round(together_seconds / BATCH, 6),
                    "ratio": round(apart_seconds / together_seconds, 3),
                }
            )
    return rows


def least_seconds(*acts: Callable[[], object]) -> list[float]:
    """Return the least processor time of each act, which take turns."""
    least = [float("inf")] * len(acts)
    for _ in range(ROUNDS):
        for number, act in enumerate(acts):
            began = time.process_time()
            act()
            least[number] = min(least[number], time.process_time() - began)
    return least


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "hdr.json")
    arguments = parser.parse_args()
    document = {"machine": machine(), "seed": SEED, "rounds": ROUNDS, "rows": measured()}
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
