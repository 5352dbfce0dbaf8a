"""From a question to the text of its answer: the work of decoding, and of choosing an option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.errors import ModelError
from hermes_stream.memory.constants import widest_float
from hermes_stream.models.base import VideoModel
from hermes_stream.models.chat import Chat
from hermes_stream.stream.answer import Answer, TokenLogprob
from hermes_stream.stream.context import QuestionContext
from hermes_stream.stream.next_tokens import NextToken
from hermes_stream.stream.question import OptionChoice, Question
from hermes_stream.stream.work import Work, next_token

# A character takes at most four bytes, and a byte at most one token; what is still none then never will be.
_MAX_CHARACTER_TOKENS = 4
_MAX_LOGPROBS = 20
_MAX_NEW_TOKENS = 256
_LEAST_SEED, _MOST_SEED = -(2**63), 2**64 - 1  # of torch's generators


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is decoded. The default is greedy.

    Attributes:
        max_new_tokens: tokens of the answer, at most; at least 1; None takes what room there is, up to 256.
        temperature: 0 is greedy; above, logits are divided by it.
        top_p: sample from the smallest set of tokens with this share of probability, in (0, 1].
        repetition_penalty: at least 1; divides positive logits of tokens already in the answer and multiplies
            negative ones. The released code uses 1.1.
        stop: texts that end the answer; they are not part of it.
        seed: of the sampling.
        num_logprobs: note how likely each token was, and so many of the likeliest beside it, 0 to 20; None
            notes nothing.
        clarify_below: reply with a question back where the confidence is below, 0 to 1; None never does.
        allow_unseen: offer "not seen" beside all other answers. It is the answer where its score reaches the
            checkpoint's ``unseen_at``; else the answer is what it is without.

    Raises:
        ValueError: a value is out of its range.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: Sequence[str] = ()
    seed: int = 0
    num_logprobs: int | None = None
    clarify_below: float | None = None
    allow_unseen: bool = False

    def __post_init__(self) -> None:
        limit = self.max_new_tokens
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"max_new_tokens must be a whole number of at least 1, or None; got {limit!r}")
        if self.num_logprobs is not None and not 0 <= self.num_logprobs <= _MAX_LOGPROBS:
            raise ValueError(
                f"num_logprobs must be from 0 to {_MAX_LOGPROBS}, or None; got {self.num_logprobs}"
            )
        if self.clarify_below is not None and not 0 <= self.clarify_below <= 1:
            raise ValueError(f"clarify_below must be from 0 to 1, or None; got {self.clarify_below}")
        if not isinstance(self.allow_unseen, bool):
            raise ValueError(f"allow_unseen must be True or False, got {self.allow_unseen!r}")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be 0 (greedy) or above, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty >= 1):
            raise ValueError(f"repetition_penalty must be at least 1, got {self.repetition_penalty}")
        if not isinstance(self.seed, int) or not _LEAST_SEED <= self.seed <= _MOST_SEED:
            raise ValueError(f"seed must be from {_LEAST_SEED} to {_MOST_SEED}, got {self.seed!r}")
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError(f"stop must be a list of non-empty texts, such as ['\\n'], got {self.stop!r}")
        object.__setattr__(self, "stop", tuple(self.stop))

    def within(self, num_tokens: int) -> Sampling:
        """Return the same, for an answer that has room for so many tokens."""
        return replace(self, max_new_tokens=min(self.max_new_tokens or _MAX_NEW_TOKENS, num_tokens))


def decode_answer(
    model: VideoModel,
    context: QuestionContext,
    question: Question,
    answer: Answer,
    *,
    sampling: Sampling,
) -> Work[str]:
    """Make an answer token by token until it stops; return its text.

    Args:
        model: answers.
        context: what the question reads; the same before and after.
        question: an open question.
        answer: is given the pieces of text as they come.
        sampling: how tokens are chosen; ``max_new_tokens`` is given.
    """
    chat = model.chat
    generator = torch.Generator(model.layout.device).manual_seed(sampling.seed)
    text = TextStream(chat, sampling.stop)
    with context.reading():
        following = yield from next_token(context.extend(question.embeddings(model)))
        if not following.likeliest.is_finite:
            raise not_finite(model)
        while True:
            token, probability, embedding = chosen(following, answer.token_ids, sampling, generator)
            if token in chat.stop_token_ids:
                break
            answer.note_token(token, probability)
            if sampling.num_logprobs is not None:
                noted = logprob_of(following.logits, token, num_top=sampling.num_logprobs)
                answer.logprobs.append(noted)
            answer.give(text.add(token))
            if text.is_stopped or len(answer.token_ids) == sampling.max_new_tokens:
                break
            segment = context.extend(model.embed([token]) if embedding is None else embedding)
            del following  # it holds the logits of all that were asked with it
            following = yield from next_token(segment)
    answer.give(text.finish())
    # last of all: a reader in another thread takes it for the end
    answer.finish_reason = "stop" if text.is_stopped or token in chat.stop_token_ids else "length"
    return text.text


def choose_option(
    model: VideoModel,
    context: QuestionContext,
    question: Question,
    answer: Answer,
) -> Work[str]:
    """Choose an option and return it; the model's own next tokens decide, among those that lead to one.

    Args:
        model: answers.
        context: what the question reads; the same before and after.
        question: with options.
        answer: is given the option that was chosen.
    """
    choice = OptionChoice(question.options or ())
    with context.reading():
        following = yield from next_token(context.extend(question.embeddings(model)))
        if not following.likeliest.is_finite:
            raise not_finite(model)
        token = choice.choose_token(following.logits)
        while not choice.is_decided:
            segment = context.extend(model.embed([token]))
            token = choice.choose_token((yield from next_token(segment)).logits)
    answer.option_index, answer.confidence = choice.open_indices[0], choice.share
    answer.runner_up = answer.options[choice.runner_up]
    chosen = answer.options[answer.option_index]
    answer.give(chosen)
    answer.finish_reason = "stop"
    return chosen


def check_finite(logits: Float[Tensor, "*places vocabulary"], model: VideoModel) -> None:
    """Check that a model answers with numbers; the likeliest of none would be an arbitrary token.

    Raises:
        ModelError: some logits are infinite or no numbers.
    """
    if not bool(logits.isfinite().all()):
        raise not_finite(model)


def not_finite(model: VideoModel) -> ModelError:
    """Return the error of a model that gives logits which are infinite or no numbers."""
    return ModelError(
        f"model {model.card.name!r} gives logits that are infinite or no numbers, so that it cannot "
        f"answer; in {str(model.layout.dtype).removeprefix('torch.')} numbers may overflow: try "
        "dtype='float32', or take the checkpoint from its source again"
    )


def chosen(
    following: NextToken, answer_ids: list[int], sampling: Sampling, generator: torch.Generator
) -> tuple[int, float, Float[Tensor, "one hidden"] | None]:
    """Choose the next token of an answer; say how likely it was, and its embedding where that is known.

    Args:
        following: what may follow.
        answer_ids: as for ``choose_token``, and what follows them.
        sampling: likewise.
        generator: likewise.
    """
    if sampling.temperature == 0 and sampling.repetition_penalty == 1:
        likeliest = following.likeliest
        return likeliest.token_id, likeliest.probability, likeliest.embedding
    token = choose_token(following.logits, answer_ids, sampling, generator)
    return token, probability_of(following.logits, token), None


def choose_token(
    logits: Float[Tensor, " vocabulary"],
    answer_ids: list[int],
    sampling: Sampling,
    generator: torch.Generator,
) -> int:
    """Choose the next token of an answer.

    Args:
        logits: of the next token, float32.
        answer_ids: tokens of the answer so far, which the repetition penalty looks at.
        sampling: how to choose.
        generator: source of randomness on the logits' device; unused when greedy.
    """
    if sampling.repetition_penalty != 1 and answer_ids:
        ids = torch.tensor(sorted(set(answer_ids)), device=logits.device)
        seen = logits[ids]
        penalty = sampling.repetition_penalty
        logits = logits.index_copy(0, ids, torch.where(seen > 0, seen / penalty, seen * penalty))
    if sampling.temperature == 0:
        return int(logits.argmax())
    # Counted from the highest, and with the smallest divisor that has digits: every quotient is a number.
    wide = widest_float(logits.device)
    scores = (logits.to(wide) - logits.max()) / max(sampling.temperature, torch.finfo(wide).tiny)
    probabilities, order = scores.softmax(dim=-1).sort(descending=True)
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities.masked_fill(before >= sampling.top_p, 0).float()
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])


def probability_of(logits: Float[Tensor, " vocabulary"], token_id: int) -> float:
    """Return how likely a token was, in [0, 1].

    Args:
        logits: that it was chosen from, float32.
        token_id: the token.
    """
    return math.exp(min(0.0, float(logits[token_id] - logits.logsumexp(dim=-1))))


def logprob_of(logits: Float[Tensor, " vocabulary"], token_id: int, *, num_top: int) -> TokenLogprob:
    """Return how likely a token was, and the likeliest ones beside it.

    Args:
        logits: that it was chosen from, float32.
        token_id: the token.
        num_top: how many of the likeliest to name, 0 or more.
    """
    logprobs = logits.log_softmax(dim=-1)
    values, ids = logprobs.topk(min(num_top, len(logprobs)))
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return TokenLogprob(token_id=token_id, logprob=float(logprobs[token_id]), top=top)


class TextStream:
    """Turns answer tokens into text pieces; holds back what a later token may still change.

    Half a character, and the beginning of a possible stop text, wait for the next token. Only the newest
    tokens are decoded again, with those of the piece before: a tokenizer may join neighbours by a space.

    Args:
        chat: decodes tokens.
        stop: texts that end the answer.

    Attributes:
        text: all that was given out.
        is_stopped: a stop text appeared.
    """

    def __init__(self, chat: Chat, stop: Sequence[str]) -> None:
        self._chat, self._stop = chat, stop
        self.text = ""
        self.is_stopped = False
        self._ids: list[int] = []
        self._context_start = self._context_end = 0
        self._decoded = ""

    def add(self, token_id: int) -> str:
        """Add a token and return the text that is now certain, possibly empty."""
        self._ids.append(token_id)
        new = self._decode_new()
        is_partial = new.endswith("\N{REPLACEMENT CHARACTER}")
        if is_partial and len(self._ids) - self._context_end < _MAX_CHARACTER_TOKENS:
            return ""
        self._decoded += new
        if new:  # a special token has no text, and would be no context for the next
            self._context_start = self._context_end
        self._context_end = len(self._ids)
        # a stop text may have begun in what is held back, and never lies before it
        held = self._decoded[len(self.text) :]
        ends = [found for found in (held.find(stop) for stop in self._stop) if found >= 0]
        if ends:
            self.is_stopped = True
            return self._give(held[: min(ends)])
        return self._give(held[: len(held) - max((_overlap(held, stop) for stop in self._stop), default=0)])

    def finish(self) -> str:
        """Return what was held back when no more tokens come."""
        return "" if self.is_stopped else self._give(self._decoded[len(self.text) :] + self._decode_new())

    def _decode_new(self) -> str:
        """Decode the tokens behind the context."""
        context = self._chat.decode(self._ids[self._context_start : self._context_end])
        return self._chat.decode(self._ids[self._context_start :])[len(context) :]

    def _give(self, piece: str) -> str:
        self.text += piece
        return piece


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of the text could begin the stop text."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
