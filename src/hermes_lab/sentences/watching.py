"""A memory watches a story, and a pretrained model goes on from clozes about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_lab.sentences.reader import SentenceReader, frame_of
from hermes_lab.sentences.stories import Cloze, Story
from hermes_stream.policies import MemoryPolicy
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.options import StreamOptions
from hermes_stream.stream.stream import Stream
from hermes_stream.stream.work import Request, Work, next_token

_TEXT_TOKENS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a model made of one cloze.

    Attributes:
        question: what was asked.
        log_probabilities: of each option, natural, among the options.
    """

    question: Cloze
    log_probabilities: tuple[float, ...]

    @property
    def is_right(self) -> bool:
        """Whether the likeliest option is the right one."""
        return self.log_probability == max(self.log_probabilities)

    @property
    def log_probability(self) -> float:
        """Of the right option."""
        return self.log_probabilities[self.question.answer_index]


def open_stream(
    model: SentenceReader, policy: MemoryPolicy, *, chunk_frames: int, kv_bits: int | None = None
) -> Stream:
    """Start a stream, as a session does; no question steers what it keeps.

    Args:
        model: reads sentences.
        policy: what the memory keeps.
        chunk_frames: sentences that are prefilled together.
        kv_bits: 8 keeps keys and values in 8 bits.
    """
    options = StreamOptions(
        policy=policy,
        chunk_frames=chunk_frames,
        text_tokens=_TEXT_TOKENS,
        kv_bits=kv_bits,
        guidance_from_questions=False,
    )
    return Stream(Executor.for_one_stream(model), options)


def watch_story(
    model: SentenceReader, policies: Sequence[MemoryPolicy], story: Story, *, chunk_frames: int
) -> list[list[Reply]]:
    """Show a story to memories side by side, and ask each its questions when they are due.

    They share forwards, which takes a third of the time; in bfloat16 the last bits of logits depend on who
    else takes part.

    Args:
        model: reads sentences.
        policies: what each memory keeps.
        story: sentences and questions.
        chunk_frames: sentences that are prefilled together.

    Returns:
        The replies of each memory, in the order of the questions.
    """
    executor = Executor(model)
    streams = [open_stream(model, policy, chunk_frames=chunk_frames) for policy in policies]
    replies: list[list[Reply]] = [[] for _ in streams]
    waiting = deque(story.questions)
    for shown, sentence in enumerate(story.sentences, start=1):
        for stream in streams:
            stream.intake.accept(frame_of(sentence, float(shown)))
        run_together(executor, [stream.fold() for stream in streams if stream.has_full_chunk])
        while waiting and waiting[0].asked_frames == shown:
            question = waiting.popleft()
            answered = run_together(executor, [continuation(stream, question.text) for stream in streams])
            for own, logits in zip(replies, answered, strict=True):
                own.append(Reply(question=question, log_probabilities=_chances(model, logits, question)))
    return replies


@torch.inference_mode()
def run_together(executor: Executor, works: Sequence[Work[Any]]) -> list[Any]:
    """Do work of several streams in shared forwards, and return the result of each."""
    results: dict[int, Any] = {}
    served: dict[int, Any] = dict.fromkeys(range(len(works)))
    while served:
        requests: dict[int, Request] = {}
        for index, result in served.items():
            try:
                requests[index] = works[index].send(result)
            except StopIteration as end:
                results[index] = end.value
        served = dict(zip(requests, executor.serve(list(requests.values())), strict=True)) if requests else {}
    return [results[index] for index in range(len(works))]


def continuation(stream: Stream, text: str) -> Work[Float[Tensor, " vocabulary"]]:
    """Return the logits of what follows a text, which itself follows the video.

    Nothing of the chat template stands between: the text is one that the model goes on with.

    Args:
        stream: has been shown frames; it is the same before and after.
        text: what the model goes on from.
    """
    model = stream.model
    embeddings = torch.cat([model.video_end, model.embed(model.chat.encode_user_text(text))])
    yield from stream.prepare()
    with stream.context.reading():
        return (yield from next_token(stream.context.extend(embeddings))).logits


def _chances(
    model: SentenceReader, logits: Float[Tensor, " vocabulary"], question: Cloze
) -> tuple[float, ...]:
    first = first_tokens(model, question.options)
    return tuple(logits[first].log_softmax(dim=0).tolist())


def first_tokens(model: SentenceReader, options: Sequence[str]) -> list[int]:
    """Return the token that each option begins with; it decides, so that no two may share it.

    Raises:
        ValueError: two options begin with the same token.
    """
    first = [model.chat.encode_user_text(f" {option}")[0] for option in options]
    if len(set(first)) < len(first):
        raise ValueError(f"two of the options {list(options)} begin with the same token; choose others")
    return first
