"""Cameras for the tests of the page: generated worlds over RTSP, until the input ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hermes_stream.synthetic.world import generate_world
from hermes_stream.video import write_video
from hermes_stream.video.rtsp import RtspServer

FPS = 8
SECONDS = 120.0


def main(number: int) -> None:
    with TemporaryDirectory() as folder, RtspServer() as server:
        addresses = []
        for seed in range(number):
            path = Path(folder) / f"{seed}.mp4"
            write_video(path, generate_world(seed, SECONDS).frames(FPS, size=240), fps=FPS)
            addresses.append(server.add(f"/camera{seed}", path, repeat=True))
        sys.stdout.write(json.dumps({"port": server.port, "addresses": addresses}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


main(int(sys.argv[1]))
