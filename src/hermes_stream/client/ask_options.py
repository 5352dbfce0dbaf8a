"""What a client may say with a question; the server says what each means (docs/api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class AskOptions(TypedDict, total=False):
    """Options of ``Client.ask``; None leaves the choice to the server.

    Attributes:
        options: choices, one of which is the answer.
        max_new_tokens: tokens of the answer, at most.
        temperature: 0 takes the likeliest token; above, tokens are sampled.
        top_p: sample from the smallest set of tokens with this share of probability.
        repetition_penalty: above 1, tokens of the answer so far are less likely.
        stop: texts that end the answer.
        seed: of the sampling.
        remember: let question and answer steer what the memory keeps.
        num_moments: moments of evidence, at most.
        clarify_below: reply with a question back where the confidence, in [0, 1], is below: the answer's
            ``clarification`` is true then, and ``guess`` what it would have said.
        wait_seconds: let the question wait for its evidence, in seconds of the stream; ``finish_reason`` is
            "not_seen" where it did not come. One that may wait longer than the client's ``timeout_seconds``
            is for ``ask_in_pieces``.
        until: with ``wait_seconds``, asked by yes or no whether the evidence is there.
    """

    options: Sequence[str] | None
    max_new_tokens: int | None
    temperature: float | None
    top_p: float | None
    repetition_penalty: float | None
    stop: Sequence[str] | None
    seed: int | None
    remember: bool | None
    num_moments: int | None
    clarify_below: float | None
    wait_seconds: float | None
    until: str | None
