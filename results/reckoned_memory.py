"""Reckon what a 7B stream takes above its weights: python results/reckoned_memory.py [--out FILE]
[--smoke].

``reckoned_memory.json`` holds the most bytes of live tensors while a stream takes chunks in, is compressed
and is asked, with the true shapes of 7B models in bfloat16 on torch's meta device: shapes are computed,
numbers are not. Every storage is counted from the operation that makes it until it is freed. Attention counts
as one fused kernel that holds nothing but its output and a float of each row. What a GPU's libraries and
graphs take beside torch's allocator is not in it, nor what the allocator rounds up: a reckoning, and no
measurement. ``--smoke`` reckons one row, of two chunks.
"""

import argparse
import json
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from measure import FOLDER, machine
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PICTURES = {"llava-onevision-7b": (392,), "qwen2.5-vl-7b": (392, 784)}
"""Sides of square pictures; the last is as large as the model reads it."""
BUDGET, CHUNK_FRAMES, NUM_CHUNKS, QUESTION_TOKENS = 4000, 16, 4, 32
POLICIES = ("hermes", "hermes_paper")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages on the meta device that were made inside and are alive.

    Args:
        weights: what is there already, and is not counted.

    Attributes:
        live: bytes now.
        peak: the most bytes since ``begin``.
        at_peak: operation that made them so many.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.at_peak = ""
        self._known = {one.untyped_storage()._cdata for one in weights}

    def of(self, work: Callable[[], object]) -> int:
        """Return the most bytes that are alive while work runs, those before it included."""
        self.peak, self.at_peak = self.live, ""
        work()
        return self.peak

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and one.device.type == "meta":
                self._see(one, str(func))
        return made

    def _see(self, tensor: Tensor, name: str) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        weakref.finalize(storage, self._freed, key, size)
        if self.live > self.peak:
            self.peak, self.at_peak = self.live, name

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def fused_attention(query: Tensor, _: Tensor, value: Tensor, *__: Any, **___: Any) -> Tensor:
    """Return what a fused attention returns, without its weights."""
    rows = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
    return torch.empty((*query.shape[:-1], value.shape[-1]), dtype=query.dtype, device=rows.device)


@contextmanager
def on_meta() -> Iterator[None]:
    """Let attention be one kernel, and models be made on the meta device."""
    from hermes_lab.training import random_weights

    with (
        mock.patch.object(nn.functional, "scaled_dot_product_attention", fused_attention),
        # joined projections are compared by their numbers, of which there are none
        mock.patch.object(torch, "allclose", return_value=True),
        mock.patch.object(random_weights, "choose_device", torch.device),
        mock.patch.object(random_weights, "choose_dtype", return_value=torch.bfloat16),
    ):
        yield


def reckon(size: str, side: int, policy: str, *, num_chunks: int = NUM_CHUNKS) -> dict[str, Any]:
    """Return the bytes of one policy's stream of square pictures."""
    from hermes_lab.bench.workload import make_workload, without_stop_tokens
    from hermes_lab.training.random_weights import random_model
    from hermes_stream import Session
    from hermes_stream.policies.named import choose_policy

    model = without_stop_tokens(random_model(size, device="meta"))
    workload = make_workload(model, image_size=side, question_tokens=QUESTION_TOKENS, new_tokens=2, seed=0)
    parts = (model.vision, model.decoder, model.head)
    weights = chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts)
    with LiveBytes([*weights, model.video_end]) as count, torch.inference_mode():
        pictures = workload.frames(0, CHUNK_FRAMES)
        looking = count.of(lambda: model.encode_in_parts(model.prepare(pictures)))
        session = Session(model, choose_policy(policy, BUDGET, BUDGET), chunk_frames=CHUNK_FRAMES)
        asking = session._stream.next_token_logits(workload.question)
        for number in range(num_chunks):
            shown = workload.frames(number * CHUNK_FRAMES, CHUNK_FRAMES)
            chunk, at = count.of(partial(session.observe, shown)), count.at_peak
        between, question = count.live, count.of(lambda: session._executor.run(asking))
        return {
            "model": size,
            "picture_side": side,
            "picture_tokens": model.num_tokens(side, side),
            "policy": policy,
            "num_compressions": session.stats.num_compressions,
            "buffers_bytes": session.cache.num_bytes,
            "encode_bytes": looking,
            "between_chunks_bytes": between,
            "chunk_bytes": chunk,
            "chunk_at": at,
            "question_bytes": question,
            "above_weights_bytes": max(chunk, question),
        }


def main() -> None:
    """Reckon and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "reckoned_memory.json")
    parser.add_argument("--smoke", action="store_true", help="one row, of two chunks")
    given = parser.parse_args()
    shown = [(size, side) for size, sides in PICTURES.items() for side in sides]
    each = [(*one, policy) for one in shown for policy in POLICIES]
    with on_meta():
        rows = [reckon(*each[0], num_chunks=2)] if given.smoke else [reckon(*one) for one in each]
    given.out.write_text(json.dumps(machine() | {"like_7b": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
