"""An answer while it is given: iterate for text pieces, or read ``text`` for the whole."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Literal

FinishReason = Literal["stop", "length", "abandoned"]


class Answer:
    """The answer to one question.

    Its first token exists when ``Session.ask`` returns; the others are made while it is read. An answer that
    is not read to its end is abandoned by the next call of its session; the memory is the same either way.

    Attributes:
        question: what was asked.
        options: the choices, empty for an open question.
        token_ids: tokens of the answer so far.
        ttft_seconds: from the call of ``ask`` to the first token, less what waiting frames took.
        ttft_with_pending_seconds: from the call of ``ask`` to the first token, waiting frames folded in.
        tokens_per_second: of the tokens after the first; None before there are two.
        option_index: which option was chosen; None for an open question.
        finish_reason: "stop", "length", "abandoned"; None while the answer goes on.
    """

    def __init__(self, question: str, options: Sequence[str] = ()) -> None:
        self.question = question
        self.options = tuple(options)
        self.token_ids: list[int] = []
        self.ttft_seconds = 0.0
        self.ttft_with_pending_seconds = 0.0
        self.tokens_per_second: float | None = None
        self.option_index: int | None = None
        self.finish_reason: FinishReason | None = None
        self._given: list[str] = []
        self._pieces: Generator[str] | None = None
        self._first: str | None = None

    def begin(self, pieces: Generator[str]) -> None:
        """Make the first token; the session calls this once."""
        self._pieces = pieces
        self._first = next(pieces, None)

    def __iter__(self) -> Iterator[str]:
        """Yield the text pieces that were not yet given."""
        return self

    def __next__(self) -> str:
        """Return the next piece of text."""
        piece, self._first = self._first, None
        while not piece:
            if self._pieces is None:
                raise StopIteration
            piece = next(self._pieces)
        self._given.append(piece)
        return piece

    @property
    def text(self) -> str:
        """The whole answer; reads it to its end."""
        for _ in self:
            pass
        return "".join(self._given)

    def close(self) -> None:
        """Abandon the rest of the answer."""
        if self._pieces is not None:
            self._pieces.close()
        self._first = None
        if self.finish_reason is None:
            self.finish_reason = "abandoned"

    def __repr__(self) -> str:
        given = "".join(self._given)
        return f"Answer(question={self.question!r}, text={given!r}, finish_reason={self.finish_reason!r})"
