"""A service in your own program, and a stream that lasts: python examples/service.py CLIP FOLDER [MODEL].

Run it again with the same folder: the stream comes back with what it remembers, and the events go on.
"""

import sys

from hermes_stream import Service


def main(clip: str, folder: str, model: str) -> None:
    """Watch a clip as if it were a camera, ask now and at its end, and show what was recorded."""
    with Service(model, folder) as service:
        status = service.open_stream("door", clip)
        if status.restored_until_seconds is not None:
            print(f"remembers until {status.restored_until_seconds:.1f} s")
        for event in service.follow(0, stream="door", kinds=["source_state"]):  # those of earlier runs too
            if event and event.epoch == status.epoch and event.payload["what"] in ("ended", "failed"):
                break
        answer = service.ask("door", "what is on screen now?")
        for piece in answer:
            print(piece, end="", flush=True)
        seconds = [f"{moment.seconds:.1f}" for moment in answer.evidence]
        print(f" ({answer.ttft_with_pending_seconds * 1000:.0f} ms; rests on {', '.join(seconds)} s)")


main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "tiny")
