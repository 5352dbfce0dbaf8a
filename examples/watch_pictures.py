"""Questions while the stream goes on: pictures of any origin, a memory of constant size."""

import numpy as np

from hermes_stream import Frame, HermesPolicy, Session, load_model

model = load_model("tiny")
session = Session(model, HermesPolicy.paper(budget_tokens=72), chunk_frames=8)
for second in range(600):
    picture = np.full((96, 96, 3), 30, dtype=np.uint8)
    if second % 60 < 20:
        picture[30:66, 30:66] = (220, 40, 40)  # a red square comes every minute
    session.observe(Frame(pts_seconds=float(second), image=picture))
    if second % 150 == 10:
        stats = session.stats
        print(f"{second} s: {session.ask('what is on screen now?').text}, ", end="")
        print(f"{stats.num_visual_tokens_kept} tokens kept, {stats.cache_bytes} bytes")
