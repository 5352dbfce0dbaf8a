"""Text that a family writes around each frame, cut so that it tokenizes as one text does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import VisualTokens, with_text


def cut_cleanly(encode: Callable[[str], list[int]], before: str, after: str) -> tuple[str, str]:
    """Return two texts that join to the same text and the same tokens.

    Characters go from the end of the first to the second until no token spans the cut, as one of two line
    breaks may.

    Args:
        encode: from text to tokens.
        before: begins with a special token, or is empty.
        after: what follows it.
    """
    text = before + after
    whole = encode(text)
    places = range(len(before), 0, -1)
    place = next((k for k in places if encode(text[:k]) + encode(text[k:]) == whole), 0)
    return text[:place], text[place:]


def insert_text(model: VideoModel, visual: VisualTokens, words: Sequence[Sequence[int]]) -> VisualTokens:
    """Put each frame's words before its visual tokens, all in a row on one axis.

    Args:
        model: embeds the words.
        visual: tokens without words.
        words: tokens of each frame's words.
    """
    lengths = [len(said) for said in words]
    embeddings = model.embed([token for said in words for token in said])
    offsets = torch.arange(len(visual) + sum(lengths))[None]
    return with_text(visual, list(embeddings.split(lengths)), offsets)
