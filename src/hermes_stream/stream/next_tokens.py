"""What texts go on with: the likeliest tokens of a batch are read together, so that the host waits once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.models.base import VideoModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeliest:
    """The likeliest token behind a text.

    Attributes:
        token_id: which it is; the first of equals.
        probability: how likely it is, in [0, 1].
        is_finite: whether all logits are numbers, and none infinite; else the others mean nothing.
        embedding: of the token.
    """

    token_id: int
    probability: float
    is_finite: bool
    embedding: Float[Tensor, "one hidden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeliestTokens:
    """The likeliest tokens of a batch, on the device that made them.

    Attributes:
        numbers: of each text the token, the logarithm of its probability, the highest and the lowest logit.
        embeddings: of the tokens.
    """

    numbers: Float[Tensor, "4 texts"]
    embeddings: Float[Tensor, "texts hidden"]

    @classmethod
    def of(cls, model: VideoModel, logits: Float[Tensor, "texts vocabulary"]) -> LikeliestTokens:
        """Find them, without waiting for the device.

        Args:
            model: made the logits.
            logits: in float32, which counts tokens exactly as far as 16 million.
        """
        highest, tokens = logits.max(dim=-1)
        logprobs = highest - logits.logsumexp(dim=-1)
        numbers = torch.stack((tokens.to(highest), logprobs, highest, logits.amin(dim=-1)))
        return cls(numbers=numbers, embeddings=model.look_up(tokens.to(model.layout.device)))

    def copied(self, num_texts: int) -> LikeliestTokens:
        """Return those of the first texts, in memory of their own."""
        return LikeliestTokens(
            numbers=self.numbers[:, :num_texts].clone(), embeddings=self.embeddings[:num_texts].clone()
        )


class NextTokens:
    """What follows each text of a batch. What is asked of one text is found for all.

    Args:
        model: made the logits.
        logits: of the texts, float32, in as many parts as there were forwards.
        likeliest: the likeliest tokens of each part, for who has found them; None finds them when one is
            asked for.

    Attributes:
        logits: of each text.
    """

    def __init__(
        self,
        model: VideoModel,
        logits: Sequence[Float[Tensor, "texts vocabulary"]],
        likeliest: Sequence[LikeliestTokens] | None = None,
    ) -> None:
        self.logits = [row for part in logits for row in part.unbind()]
        self._find = lambda: likeliest or [LikeliestTokens.of(model, part) for part in logits]

    @cached_property
    def likeliest(self) -> list[Likeliest]:
        """The likeliest token behind each text; the host waits for the device, once."""
        parts = self._find()
        numbers = torch.cat([part.numbers for part in parts], dim=1).T.tolist()
        embeddings = [row for part in parts for row in part.embeddings.split(1)]
        return [
            Likeliest(
                token_id=int(token),
                probability=math.exp(min(0.0, logprob)),
                is_finite=math.isfinite(highest) and math.isfinite(lowest),
                embedding=embedding,
            )
            for embedding, (token, logprob, highest, lowest) in zip(embeddings, numbers, strict=True)
        ]

    def of_texts(self) -> list[NextToken]:
        """Return what follows each text by itself."""
        return [NextToken(batch=self, row=row) for row in range(len(self.logits))]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextToken:
    """What follows one text of a batch.

    Attributes:
        batch: of it.
        row: which of its texts.
    """

    batch: NextTokens
    row: int

    @property
    def logits(self) -> Float[Tensor, " vocabulary"]:
        """Of the next token, float32."""
        return self.batch.logits[self.row]

    @property
    def likeliest(self) -> Likeliest:
        """The likeliest token."""
        return self.batch.likeliest[self.row]
