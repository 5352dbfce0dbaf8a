"""Chat completions as OpenAI's clients read them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from hermes_stream.models.chat import Chat
from hermes_stream.server.asking import evidence_of
from hermes_stream.service import LiveAnswer
from hermes_stream.stream.answer import TokenLogprob


class Completion:
    """Writes one completion, whole or in chunks.

    Args:
        id: of the completion.
        model: as the client called it.
        chat: says what tokens are as text.
    """

    def __init__(self, *, id: str, model: str, chat: Chat) -> None:
        self._id, self._model, self._chat = id, model, chat
        self._created = int(time.time())

    def whole(self, answer: LiveAnswer, *, usage: dict[str, Any], has_logprobs: bool) -> dict[str, Any]:
        """Return the completion of an answer that is done."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "finish_reason": finish_reason(answer),
            "logprobs": self.logprobs(answer.logprobs) if has_logprobs else None,
        }
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage,
            "hermes": extras(answer),
        }

    def chunk(
        self,
        delta: dict[str, Any],
        *,
        finish_reason: str | None = None,
        logprobs: Sequence[TokenLogprob] | None = None,
        more: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return a piece of the completion.

        Args:
            delta: what is new of the message.
            finish_reason: of the last piece.
            logprobs: of the tokens that are new; None where nobody asked.
            more: further fields.
        """
        choice = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish_reason,
            "logprobs": None if logprobs is None else self.logprobs(logprobs),
        }
        return {**self._head("chat.completion.chunk"), "choices": [choice], **(more or {})}

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """Return the last piece, which counts tokens."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}

    def logprobs(self, noted: Sequence[TokenLogprob]) -> dict[str, Any]:
        """Return how likely tokens were."""
        content = [
            {**self._token(one.token_id, one.logprob), "top_logprobs": [self._token(*top) for top in one.top]}
            for one in noted
        ]
        return {"content": content, "refusal": None}

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        text = self._chat.decode([token_id])
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}


def finish_reason(answer: LiveAnswer) -> str:
    """Return why an answer ended, in OpenAI's words."""
    return "length" if answer.finish_reason == "length" else "stop"


def usage_of(answer: LiveAnswer, *, num_prompt_tokens: int) -> dict[str, Any]:
    """Return the number of tokens."""
    num_answer = len(answer.token_ids)
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_answer,
        "total_tokens": num_prompt_tokens + num_answer,
    }


def extras(answer: LiveAnswer) -> dict[str, Any]:
    """Return what OpenAI has no word for."""
    return {
        "stream": answer.stream,
        "ttft_seconds": answer.ttft_seconds,
        "ttft_with_pending_seconds": answer.ttft_with_pending_seconds,
        "confidence": answer.confidence,
        "clarification": answer.clarification,
        "guess": answer.guess,
        "unseen": answer.unseen,
        "unseen_score": answer.unseen_score,
        "option_index": answer.option_index,
        "evidence": [evidence_of(moment).model_dump() for moment in answer.evidence],
    }
