"""Read thousands of damaged annotations: python -m hermes_lab.stress.annotations --count N --seed S --out F.

Each is a small file of some benchmark's form, or one of responses to it, damaged in one to four places, and
read and scored in another process with limits. Right is whatever is read, with oddities told or not, or
refused in words; wrong is a crash, a hang, a traceback, too much memory, or a count that does not add up. The
same seed makes the same files: ``--only K --keep FOLDER`` writes one of them. The last line printed is a JSON
document.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from hermes_lab.stress.damaged_files import Damaged, Trial, parser
from hermes_lab.stress.document_mutations import damaged_bytes, damaged_document
from hermes_lab.stress.sound_annotations import encoded, sound_files

_BYTES_SHARE = 0.3


def write_damaged(folder: Path, seed: int, index: int) -> Damaged:
    """Write the files of an index."""
    every = sound_files()
    sound, rng = every[index % len(every)], random.Random(f"{seed}/{index}")
    files = {sound.file: sound.document, **dict(sound.beside)}
    if sound.responses is not None:
        files[sound.responses[0]] = sound.responses[1]
    # responses are what other systems write, and so the more often damaged of the two
    chosen = sound.responses[0] if sound.responses and rng.random() < 0.8 else rng.choice(list(files))
    mutations: list[str] = []
    for name, document in files.items():
        own = document
        if name == chosen:
            own, mutations = damaged_document(document, rng)
        content = encoded(name, own)
        if name == chosen and rng.random() < _BYTES_SHARE:
            content, how = damaged_bytes(content, rng)
            mutations.append(how)
        (folder / name).write_bytes(content)
    is_folder = bool(sound.beside) and sound.name == "mlvu folder"
    task = {
        "annotations": str(folder if is_folder else folder / sound.file),
        "responses": str(folder / sound.responses[0]) if sound.responses else None,
    }
    return Damaged(source=sound.name, mutations=tuple(mutations), task=task)


TRIAL = Trial(
    damage=write_damaged,
    reader="hermes_lab.stress.reading",
    right=("read", "odd", "refused"),
    first={"annotations": os.devnull, "responses": None},
)

if __name__ == "__main__":
    TRIAL.run_command("annotations", parser(__doc__).parse_args())
