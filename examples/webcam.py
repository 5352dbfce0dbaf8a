"""A camera that is watched while you ask: python examples/webcam.py [MODEL]. An empty line ends it.

A session may be shared by threads: one passes on what the camera shows, this one asks. Their calls wait for
each other, so what a camera shows while a chunk is folded in may be lost.
"""

import sys
import time
from threading import Event, Thread

from hermes_stream import Frame, Session

try:
    import cv2
except ImportError:
    sys.exit("OpenCV is not installed, and it opens the camera here: pip install opencv-python-headless")


def watch(session: Session, ended: Event) -> None:
    """Pass on what the camera shows, until it ends or is told to."""
    camera = cv2.VideoCapture(0)
    while not ended.is_set():
        is_read, image = camera.read()
        if not is_read:
            break
        session.observe(Frame.from_bgr(image, pts_seconds=time.monotonic()))
    camera.release()


session, ended = Session(sys.argv[1] if len(sys.argv) > 1 else "tiny", fps=1.0), Event()
camera = Thread(target=watch, args=(session, ended))
camera.start()
try:
    while question := input("? "):
        if session.stats.num_frames == 0:
            print("nothing was seen yet")
            continue
        for piece in session.ask(question):
            print(piece, end="", flush=True)
        print()
finally:
    ended.set()
    camera.join()
    session.close()
