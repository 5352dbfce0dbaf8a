"""What reading a camera takes of a processor: all pictures decoded, or key frames alone.

    python results/sources.py --seconds 20 --out results/sources.json

One H.264 camera at 25 frames and one key frame a second, played by another process over RTSP/TCP; one frame a
second is taken at 384 x 384 pixels' worth of RGB. Processor time of this process, relay included, after the
first three frames.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np

from hermes_stream.cli.machine import processor, processor_name, versions
from hermes_stream.video import SourceOptions, open_source
from hermes_stream.video.rtsp import RtspServer

SIZES = ((360, 640), (1080, 1920))
FPS, NUM_PICTURES, NUM_FIRST = 25, 100, 3


def record_clip(path: Path, height: int, width: int) -> None:
    """Write a texture that moves, a key frame a second, no B-frames, as cameras send it."""
    blocks = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = blocks.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        options = {"g": str(FPS), "bf": "0", "preset": "veryfast", "crf": "28", "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(NUM_PICTURES):
            image = np.roll(texture, 3 * index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def measure(address: str, key_frames_only: bool, seconds: float) -> dict:
    options = SourceOptions(fps=1, max_image_pixels=384 * 384, key_frames_only=key_frames_only)
    source = open_source(address, options)
    threading.Timer(seconds, source.stop).start()
    num_frames, processor_seconds, began = 0, 0.0, 0.0
    for num_frames, _ in enumerate(source, start=1):
        if num_frames == NUM_FIRST:
            processor_seconds, began = time.process_time(), time.monotonic()
    share = (time.process_time() - processor_seconds) / (time.monotonic() - began)
    return {"num_frames": num_frames, "num_pictures": source.stats.num_pictures, "core_share": share}


def play(path: str) -> None:
    with RtspServer() as server:
        sys.stdout.write(server.add("clip", path, repeat=True) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--play", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.play:
        play(given.play)
        return
    rows = []
    for height, width in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            record_clip(clip, height, width)
            command = [sys.executable, __file__, "--play", str(clip)]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as camera:
                address = camera.stdout.readline().strip()
                for only in (False, True):
                    row = {"width": width, "height": height, "key_frames_only": only}
                    rows.append(row | measure(address, only, given.seconds))
                camera.stdin.close()
    document = {
        "rows": rows,
        "seed": 0,
        "machine": {"processor": processor_name(), **processor()},
        "versions": versions(),
        "command": f"python results/sources.py --seconds {given.seconds:g} --out results/sources.json",
    }
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
