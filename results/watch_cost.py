"""What a watch costs at 7B, by operations and bytes: python results/watch_cost.py --stories DIR --out FILE

Counted, not timed: products of weights, attention over the memory, the head; weights and memory read. A
look of a stream asks all its watches in one forward, so that weights and memory are read once for all. A
frame is what it is compared with: its encoding, and the prefill of its 196 tokens into the same memory. How
often an onset is asked besides is counted on stories of ``hermes world --watches``, which ``tiny`` watches.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measure import machine

from hermes_lab.datasets.watch_annotations import read_watches
from hermes_lab.evaluation.watched_events import watch_story
from hermes_lab.training.shapes import SHAPES, ModelShape
from hermes_stream import Session, load_model
from hermes_stream.stream.watches import Watch
from hermes_stream.video import FileSource

NAME = "llava-onevision-7b"
FRAME_TOKENS = 196
BUDGET_TOKENS = 4000
NUM_WATCHES = 16
QUESTION_TOKENS = (12, 16, 20, 24, 32)
"""Of a question, with what closes the video before it and opens its answer behind it."""
AROUND_TOKENS = 6
"""What closes the video and opens the answer: a line break, and the ends and beginnings of two turns."""
IS_THERE = "is there a red circle now?"
CAME = "did a red circle come since you last answered two seconds ago?"
CONDITIONS = {
    "appears, leaves, second, count": (IS_THERE,),
    "comes again": (IS_THERE, "was there a red circle?"),
    "two at once": (IS_THERE, "is there a green square now?"),
    "a place, a state": ("where is the red circle now?", IS_THERE),
}
"""What one watch asks at each look, as the table of docs/watches.md puts its condition; the first two ask
``CAME`` besides, in a forward of its own, at looks at which yes might begin."""
AIM = 0.12
_LONGEST = 200
BYTES_PER_NUMBER = 2
# The tower of this size: pixels become 27 x 27 tokens, which are pooled to 14 x 14.
TOWER = {"layers": 26, "hidden": 1152, "intermediate": 4304, "tokens": 729}


def decoder_parameters(shape: ModelShape) -> int:
    """Return the numbers in the decoder's matrices."""
    text = shape.text
    queries = 2 * text.hidden_size * text.num_attention_heads * text.head_dim
    keys = 2 * text.hidden_size * text.num_key_value_heads * text.head_dim
    return text.num_hidden_layers * (queries + keys + 3 * text.hidden_size * text.intermediate_size)


def tower_cost() -> tuple[float, float]:
    """Return operations of encoding one frame, and bytes of the tower's weights."""
    hidden, tokens = TOWER["hidden"], TOWER["tokens"]
    numbers = TOWER["layers"] * (4 * hidden * hidden + 2 * hidden * TOWER["intermediate"])
    attention = TOWER["layers"] * 4 * hidden * tokens * tokens
    return 2.0 * numbers * tokens + attention, float(numbers * BYTES_PER_NUMBER)


def forward(shape: ModelShape, lengths: list[int], *, reads_head: bool) -> tuple[float, float]:
    """Return operations and bytes of texts that read one memory in one forward.

    Args:
        shape: of the model.
        lengths: tokens of each text; they do not see each other.
        reads_head: whether each text's last token is read for what comes next.
    """
    text, parameters = shape.text, decoder_parameters(shape)
    head = text.hidden_size * text.vocab_size
    pair = 4 * text.num_hidden_layers * text.num_attention_heads * text.head_dim
    pairs = sum(count * (BUDGET_TOKENS + (count + 1) / 2) for count in lengths)
    operations = 2 * parameters * sum(lengths) + pair * pairs + 2 * head * len(lengths) * reads_head
    read = (parameters + head * reads_head) * BYTES_PER_NUMBER
    memory = shape.kv_bytes_per_token * (BUDGET_TOKENS + sum(lengths))
    return float(operations), float(read + memory)


def num_tokens_of(question: str) -> int:
    """Return how many tokens a question of frequent English words takes, a word or a mark each."""
    return AROUND_TOKENS + len(re.findall(r"\w+|[^\w\s]", question))


def shares(shape: ModelShape, lengths: list[int]) -> dict[str, Any]:
    """Return what one of many watches costs beside one frame.

    Args:
        shape: of the model.
        lengths: tokens of each question that a watch asks at a look.
    """
    watches = forward(shape, lengths * NUM_WATCHES, reads_head=True)
    alone = forward(shape, lengths, reads_head=True)
    prefill = forward(shape, [FRAME_TOKENS], reads_head=False)
    tower = tower_cost()
    frame = (prefill[0] + tower[0], prefill[1] + tower[1])
    return {
        "question_tokens": lengths[0] if len(lengths) == 1 else lengths,
        "operations_share_of_frame": watches[0] / NUM_WATCHES / frame[0],
        "operations_share_of_prefill": watches[0] / NUM_WATCHES / prefill[0],
        "bytes_share_of_frame": watches[1] / NUM_WATCHES / frame[1],
        "bytes_share_of_frame_alone": alone[1] / frame[1],
        "watches_operations": watches[0],
        "watches_bytes": watches[1],
        "frame_operations": frame[0],
        "frame_bytes": frame[1],
    }


def longest(shape: ModelShape, share: str) -> int:
    """Return how many tokens a question may have for a share to be within the aim."""
    return max(count for count in range(1, _LONGEST) if shares(shape, [count])[share] <= AIM)


def onsets_asked(folder: Path) -> dict[str, Any]:
    """Count looks of watches with an onset, and at how many of them it is asked.

    Args:
        folder: of stories, written by ``hermes world --watches``.
    """
    (path,) = folder.rglob("watches.json")
    asked: list[bool] = []
    might_begin = Watch.might_begin

    def counted(watch: Watch, *look: Any) -> bool:
        asked.append(might_begin(watch, *look))
        return asked[-1]

    model, stories = load_model("tiny", device="cpu"), read_watches(path)
    with patch.object(Watch, "might_begin", counted):
        for story in stories:
            watch_story(Session(model, chunk_frames=1), FileSource(path.parent / story.video, fps=1), story)
    scenes = sorted({story.scene for story in stories})
    seconds = sum(story.duration_seconds for story in stories)
    return {
        "num_stories": len(stories),
        "seconds": seconds,
        "scenes": scenes,
        "num_looks": len(asked),
        "num_asked": sum(asked),
        "share": sum(asked) / len(asked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=Path, required=True, help="folder of hermes world --watches")
    parser.add_argument("--seed", type=int, required=True, help="that it was written with")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    shape = next(one for one in SHAPES.values() if one.name == NAME)
    document = {
        "command": f"python {' '.join(sys.argv)}",
        "model": NAME,
        "num_watches": NUM_WATCHES,
        "frame_tokens": FRAME_TOKENS,
        "budget_tokens": BUDGET_TOKENS,
        "decoder_parameters": decoder_parameters(shape),
        "aim": AIM,
        "longest_question_tokens": {
            name: longest(shape, name)
            for name in ("operations_share_of_frame", "operations_share_of_prefill", "bytes_share_of_frame")
        },
        "rows": [shares(shape, [count]) for count in QUESTION_TOKENS],
        "conditions": {
            name: {"questions": questions, **shares(shape, list(map(num_tokens_of, questions)))}
            for name, questions in CONDITIONS.items()
        },
        "onset": {"question": CAME, **shares(shape, [num_tokens_of(CAME)])},
        "onsets_asked": {"seed": given.seed, "machine": machine(), **onsets_asked(given.stories)},
    }
    text = json.dumps(document, indent=1)
    sys.stdout.write(text + "\n")
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
