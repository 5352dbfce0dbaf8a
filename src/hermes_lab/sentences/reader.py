"""A model that is shown sentences: a frame's visual tokens are the embeddings of its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.base import VideoModel
from hermes_stream.models.visual import Features, Pixels, VisualTokens
from hermes_stream.video.frame import Frame

_SHAPE = (4, 8, 3)


def frame_of(sentence: str, seconds: float) -> Frame:
    """Return a frame whose picture is the bytes of a sentence.

    Args:
        sentence: at most 96 bytes in UTF-8.
        seconds: when it is shown.

    Raises:
        ValueError: the sentence is longer.
    """
    letters = sentence.encode()
    size = int(np.prod(_SHAPE))
    if len(letters) > size:
        raise ValueError(
            f"sentence {sentence!r} takes {len(letters)} bytes; a frame holds {size}: shorten it"
        )
    pixels = np.frombuffer(letters.ljust(size, b"\0"), dtype=np.uint8)
    return Frame(pts_seconds=seconds, image=pixels.reshape(_SHAPE).copy())


def sentence_of(frame: Frame) -> str:
    """Return the sentence that a frame shows."""
    return frame.image.tobytes().rstrip(b"\0").decode()


@final
class SentenceReader(VideoModel):
    """A checkpoint that looks words up where it would look at pictures; all else is its own.

    Sentences are padded to the tokens of a picture, and padding stands between video and question. Logits are
    multiplied in float32.

    Args:
        model: has one size for all frames.
        padding: a text of one token.

    Attributes:
        padding_id: the token of the padding.

    Raises:
        ValueError: the padding is no single token.
    """

    family = "sentences"

    def __init__(self, model: VideoModel, *, padding: str = "\n") -> None:
        own = {"family": model.family, "has_dynamic_resolution": model.has_dynamic_resolution}
        vars(self).update(vars(model) | own)
        self._model = model
        padding_ids = model.chat.encode(padding)
        if len(padding_ids) != 1:
            raise ValueError(f"padding {padding!r} takes {len(padding_ids)} tokens; give a text of one token")
        self.padding_id = padding_ids[0]
        self.video_end = model.embed(padding_ids)
        # In bfloat16 logits of like words would be equal, and the first of them would win.
        self._words = model.head.weight.detach().float()  # type: ignore[operator]

    def prepare(self, frames: Sequence[Frame]) -> Pixels:
        """Tokenize what frames show; "pixels" are token ids."""
        ids = torch.tensor([self._token_ids(sentence_of(frame)) for frame in frames], dtype=torch.float32)
        return Pixels(values=ids.to(self.layout.device), grid=(len(frames), 1, ids.shape[1]))

    def _token_ids(self, sentence: str) -> list[int]:
        ids, room = self.chat.encode_user_text(sentence), self.card.tokens_per_temporal_patch
        if len(ids) > room:
            raise ValueError(
                f"sentence {sentence!r} takes {len(ids)} tokens; a frame of this model has {room}: shorten it"
            )
        return ids + [self.padding_id] * (room - len(ids))

    def shrink(self, frame: Frame) -> Frame:
        """Return the frame: a sentence has no smaller form."""
        return frame

    def encode(self, pixels: Pixels) -> Features:
        """Look the words up."""
        return Features.of_frames(self.decoder.embed_tokens(pixels.values.long()))  # type: ignore[operator]

    def lay_out(
        self, features: Features, frames: Sequence[Frame], *, start_seconds: float, num_patches_before: int
    ) -> VisualTokens:
        """Let the model lay out words as it lays out visual tokens."""
        return self._model.lay_out(
            features, frames, start_seconds=start_seconds, num_patches_before=num_patches_before
        )

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocabulary"]:
        """Return next-token logits, multiplied in float32 whatever the model's dtype."""
        return hidden.float() @ self._words.T
