"""Frames that OpenCV reads: python examples/opencv_frames.py CLIP QUESTION [MODEL].

OpenCV's pictures have blue first, and no time: ``Frame.from_bgr`` takes the colours as they are meant, and
``CAP_PROP_POS_MSEC`` tells the time of the frame that is read next.
"""

import sys
from collections.abc import Iterator

from hermes_stream import Frame, Session

try:
    import cv2
except ImportError:
    sys.exit("OpenCV is not installed, and this example is about it: pip install opencv-python-headless")


def frames(clip: str) -> Iterator[Frame]:
    """Yield the frames of a file."""
    capture = cv2.VideoCapture(clip)
    while True:
        pts_seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        is_read, image = capture.read()
        if not is_read:
            capture.release()
            return
        yield Frame.from_bgr(image, pts_seconds)


clip, question = sys.argv[1:3]
model = sys.argv[3] if len(sys.argv) > 3 else "tiny"
with Session(model, fps=1.0) as session:  # one frame a second is watched
    session.observe(frames(clip))
    print(f"{session.stats.num_frames} frames watched")
    print(session.ask(question))
