"""On which moments an answer rested: read right after it, before anything else enters the memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

import torch

from hermes_stream.errors import HermesError
from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.tiers import Tiers
from hermes_stream.service.live_answer import CitedMoment
from hermes_stream.service.status import LayerMoments
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.evidence import evidence_of, read_attention
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.question import Question
from hermes_stream.stream.stream import Stream

log = logging.getLogger(__name__)
PicturesOf = Callable[[Collection[float]], dict[float, str]]


def cite(
    executor: Executor, stream: Stream, answer: Answer, *, num_moments: int, pictures_of: PicturesOf
) -> tuple[CitedMoment, ...]:
    """Return the moments on which an answer rested, most important first; none where they cannot be read.

    Args:
        executor: runs the model; nothing else of the stream may be in hand.
        stream: its memory is as the answer found it.
        answer: at its end.
        num_moments: how many, at most.
        pictures_of: finds pictures of moments.
    """
    if num_moments < 1 or answer.clarification or answer.finish_reason not in ("stop", "length"):
        return ()
    try:
        state = executor.run(read_attention(stream.context, stream.model.layout, _parts(stream, answer)))
        moments = evidence_of(state).moments(num_moments)
    except (HermesError, ValueError, torch.OutOfMemoryError) as error:
        log.info("no evidence for an answer: %s", error)
        return ()
    cited = [
        CitedMoment(
            seconds=moment.seconds,
            from_seconds=moment.from_seconds,
            until_seconds=moment.until_seconds,
            share=moment.share,
        )
        for moment in moments
    ]
    pictures = pictures_of([moment.seconds for moment in cited])
    return tuple(replace(moment, picture=pictures.get(moment.seconds)) for moment in cited)


def _parts(stream: Stream, answer: Answer) -> list[tuple[torch.Tensor, int]]:
    """Return question and answer as they were read, and how many of their newest tokens chose tokens."""
    model = stream.model
    question = Question.phrase(
        model,
        answer.question,
        answer.options or None,
        text_tokens=model.layout.max_positions,  # it has fitted before
        answer_tokens=1,
    )
    parts = [(question.embeddings(model), 1)]
    if len(answer.token_ids) > 1:
        parts.append((model.embed(answer.token_ids[:-1]), len(answer.token_ids) - 1))
    return parts


def layer_moments(state: MemoryState) -> tuple[LayerMoments, ...]:
    """Return which moments each layer of a memory keeps."""
    tiers = Tiers(num_layers=state.num_layers).tier_of_layer
    layers = []
    for layer_idx, tier in enumerate(tiers):
        present = state.present[layer_idx].cpu()
        is_of_patch = present & (state.temporal_patch_ids[layer_idx].cpu() >= 0)
        seconds, counts = state.pts_seconds[layer_idx].cpu()[is_of_patch].unique(return_counts=True)
        layers.append(
            LayerMoments(
                layer_idx=layer_idx,
                tier=tier.name.lower(),
                num_tokens=int(present.sum()),
                num_summary_tokens=int((present & ~is_of_patch).sum()),
                seconds=tuple(seconds.tolist()),
                tokens_of=tuple(counts.tolist()),
            )
        )
    return tuple(layers)
