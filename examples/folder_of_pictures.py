"""Pictures of a time-lapse: python examples/folder_of_pictures.py FOLDER SECONDS QUESTION [MODEL].

A camera left one every SECONDS, in the order of their names. Pillow's images go in whatever their mode.
"""

import sys
from pathlib import Path

from PIL import Image

from hermes_stream import Frame, Session

folder, seconds, question = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
session = Session(sys.argv[4] if len(sys.argv) > 4 else "tiny")

paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
for number, path in enumerate(paths):
    with Image.open(path) as image:
        session.observe(Frame.from_pil(image, pts_seconds=number * seconds))

print(session.ask(question))
for moment in session.evidence(question).moments()[:3]:
    print(f"{moment.share:.0%} of its attention rests on {paths[round(moment.seconds / seconds)].name}")
