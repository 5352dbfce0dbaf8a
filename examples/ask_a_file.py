"""From a video file to an answer: python examples/ask_a_file.py CLIP QUESTION."""

import sys

from hermes_stream import FileSource, Session, load_model

clip, question = sys.argv[1], sys.argv[2]
model = load_model("tiny")
session = Session(model)
session.observe(FileSource(clip, fps=model.card.default_fps))
answer = session.ask(question)
for piece in answer:
    print(piece, end="", flush=True)
print(f"  ({answer.ttft_seconds * 1000:.0f} ms to the first token)")
