"""From a video file to an answer: python examples/ask_a_file.py CLIP QUESTION [MODEL].

``tiny`` knows generated shapes alone; for a video of yours give a checkpoint's folder or hub name, such as
HuggingFaceTB/SmolVLM2-256M-Video-Instruct.
"""

import sys

from hermes_stream import Session

clip, question = sys.argv[1:3]
session = Session(sys.argv[3] if len(sys.argv) > 3 else "tiny")
session.observe(clip)
answer = session.ask(question)
for piece in answer:
    print(piece, end="", flush=True)
print(f"  ({answer.ttft_seconds * 1000:.0f} ms to the first token)")
