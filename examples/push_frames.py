"""A camera that only your program reads: frames are pushed to a service, which is asked meanwhile.

python examples/push_frames.py URL STREAM VIDEO; any reader of OpenCV does in place of a file.
"""

import sys

import cv2

from hermes_stream.client import Client


def main(url: str, stream: str, video: str) -> None:
    """Push one frame a second, as JPEG with its time, and ask at the end."""
    with Client(url) as client:
        client.open_stream(stream)
        capture, next_seconds = cv2.VideoCapture(video), 0.0
        while True:
            is_read, image = capture.read()
            if not is_read:
                break
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if seconds >= next_seconds:
                is_encoded, jpeg = cv2.imencode(".jpg", image)
                if is_encoded:
                    client.push(stream, jpeg.tobytes(), seconds)
                next_seconds = seconds + 1.0
        print(f"{client.stream(stream).num_frames} frames pushed")
        print(client.ask(stream, "what is on screen now?"))


main(*sys.argv[1:4])
