"""Run published sizes with random weights: python results/true_shapes.py [SIZE ...] [--frames N].

For each size: the memory equals plain transformers on the same tokens; a stream of many frames under 4,000
tokens stays finite, and takes not a byte more at its end than at a quarter of it. Without sizes it takes
those whose weights fit the device. Results are added to a file, one entry per size.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import FOLDER, machine

from hermes_lab.training.random_weights import random_model
from hermes_lab.training.shapes import SHAPES
from hermes_stream import FullPolicy, HermesPolicy, ModelError, Session
from hermes_stream.models.base import VideoModel
from hermes_stream.models.loading.footprint import free_bytes
from hermes_stream.models.loading.placement import choose_device
from hermes_stream.stream.positions import StreamPositions, text_positions
from hermes_stream.video.frame import Frame

SIZES = (
    "llava-onevision-0.5b",
    "llava-onevision-7b",
    "qwen2.5-vl-3b",
    "qwen2.5-vl-7b",
    "qwen3-vl-4b",
    "qwen3-vl-8b",
)
BUDGET_TOKENS = 4000
QUESTION = "what is the person at the door doing now ?"
SIDE = 448
SEED = 0


def frames(count: int) -> Iterator[Frame]:
    """Yield pictures of blocks of colour, a block of which changes from one to the next."""
    rng = np.random.default_rng(SEED)
    blocks = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
    for k in range(count):
        blocks[tuple(rng.integers(0, 14, 2))] = rng.integers(0, 256, 3)
        picture = blocks.repeat(SIDE // 14, axis=0).repeat(SIDE // 14, axis=1)
        yield Frame(pts_seconds=k / 2, image=picture)


@torch.inference_mode()
def identity(model: VideoModel) -> dict[str, float]:
    """Compare the memory's logits with those of the plain decoder on the same tokens, whole at once."""
    shown = list(frames(4))
    session = Session(model, FullPolicy(), chunk_frames=2)
    session.observe(shown)
    ours = session.next_token_logits(QUESTION)
    visual = model.lay_out(model.encode(model.prepare(shown)), shown, start_seconds=0.0, num_patches_before=0)
    prefix, axes = model.chat.prefix_ids, model.layout.rotary.num_axes
    asked = torch.cat([model.video_end, model.embed(model.chat.question_ids(QUESTION))])
    place = StreamPositions.after_prefix(len(prefix))
    video = place.positions(visual, len(prefix))
    start = int(video.max()) + 1
    if model.card.text_after_video == "picture":
        start = place.after(visual).behind_picture
    positions = torch.cat(
        [text_positions(axes, len(prefix), 0), video, text_positions(axes, len(asked), start)], dim=1
    ).to(model.layout.device)
    embeddings = torch.cat([model.embed(prefix), visual.embeddings, asked])[None]
    extra: dict[str, Any] = {}
    if visual.deepstack is not None:
        seen = slice(len(prefix), len(prefix) + len(visual))
        extra["visual_pos_masks"] = torch.zeros(embeddings.shape[:2], dtype=torch.bool).to(embeddings.device)
        extra["visual_pos_masks"][:, seen] = True
        extra["deepstack_visual_embeds"] = list(visual.deepstack)
    attention = model.decoder.config._attn_implementation
    model.decoder.set_attn_implementation("sdpa")
    try:
        output = model.decoder(
            inputs_embeds=embeddings,
            position_ids=positions if axes == 1 else positions[:, None],
            use_cache=False,
            **extra,
        )
    finally:
        model.decoder.set_attn_implementation(attention)
    plain = model.logits(output.last_hidden_state[0, -1]).cpu()
    return {
        "largest_difference": float((ours - plain).abs().max()),
        "spread_of_logits": float(plain.std()),
        "same_first_token": float(ours.argmax() == plain.argmax()),
    }


def stream(model: VideoModel, num_frames: int) -> dict[str, Any]:
    """Watch a long stream; report bytes, times and whether all is finite, a quarter in and at the end."""
    session = Session(model, HermesPolicy.paper(BUDGET_TOKENS), chunk_frames=16)
    device = model.layout.device
    points = []
    for count, frame in enumerate(frames(num_frames), start=1):
        session.observe(frame)
        if count not in (num_frames // 4, num_frames):
            continue
        session.flush()
        logits, seconds = [], []
        for _ in range(5):
            began = time.perf_counter()
            logits.append(session.next_token_logits(QUESTION))
            seconds.append(time.perf_counter() - began)
        stats = session.stats
        points.append(
            {
                "num_frames": count,
                "finite": bool(torch.stack(logits).isfinite().all()),
                "num_visual_tokens_seen": stats.num_visual_tokens_seen,
                "num_visual_tokens_kept": stats.num_visual_tokens_kept,
                "num_compressions": stats.num_compressions,
                "cache_bytes": stats.cache_bytes,
                "peak_device_bytes": torch.cuda.max_memory_allocated(device)
                if device.type == "cuda"
                else None,
                "peak_host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "median_ttft_seconds": float(np.median(seconds)),
            }
        )
    return {"points": points, "same_bytes": points[0]["cache_bytes"] == points[-1]["cache_bytes"]}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"of {', '.join(SIZES)}, or any other")
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, default=FOLDER / "true_shapes.json")
    arguments = parser.parse_args()
    place = choose_device(arguments.device)
    room = free_bytes(place) or 0
    sizes = arguments.sizes or [size for size in SIZES if 2.5 * SHAPES[size].num_parameters < room]
    report = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    for size in sizes:
        began = time.perf_counter()
        try:
            model = random_model(size, device=arguments.device, dtype=arguments.dtype, seed=SEED)
        except ModelError as error:
            parser.error(str(error))
        built = time.perf_counter() - began
        report["runs"][size] = {
            "dtype": arguments.dtype,
            "device": str(place),
            "seed": SEED,
            "budget_tokens": BUDGET_TOKENS,
            "seconds_to_build": built,
            "identity": identity(model),
            "stream": stream(model, arguments.frames),
            "seconds": time.perf_counter() - began,
            "machine": machine(),
        }
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        sys.stdout.write(f"{size} {json.dumps(report['runs'][size])}\n")
        del model


if __name__ == "__main__":
    main()
