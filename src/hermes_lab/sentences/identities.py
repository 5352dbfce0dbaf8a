"""What must hold on any weights, measured on real ones: differences of logits, bits that stayed.

Each function returns plain numbers; tests bound them, ``results/real_weights.py`` stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_lab.sentences.reader import SentenceReader, frame_of
from hermes_lab.sentences.recomputing import recomputed_hidden
from hermes_lab.sentences.stories import Story, tell_story
from hermes_lab.sentences.watching import continuation, open_stream, run_together
from hermes_stream.cache import StreamCache
from hermes_stream.policies import FullPolicy, HermesPolicy, MemoryPolicy
from hermes_stream.stream.executor import Executor
from hermes_stream.stream.stream import Stream

Logits = Float[Tensor, " vocabulary"]
PROBE = "Summary of the log: Anna put the"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far next-token logits are from others.

    Attributes:
        largest: absolute, over the vocabulary and over questions.
        divergence: Kullback and Leibler's, of these from the others, in nats, mean over questions.
        same_choice: share of questions whose likeliest token is the same.
    """

    largest: float
    divergence: float
    same_choice: float


def difference(ours: Sequence[Logits], others: Sequence[Logits]) -> Difference:
    """Compare logits, question by question."""
    one, other = torch.stack(list(ours)).float(), torch.stack(list(others)).float()
    log_one, log_other = one.log_softmax(dim=1), other.log_softmax(dim=1)
    return Difference(
        largest=float((one - other).abs().max()),
        divergence=float((log_other.exp() * (log_other - log_one)).sum(dim=1).mean()),
        same_choice=float((one.argmax(dim=1) == other.argmax(dim=1)).double().mean()),
    )


def told(
    model: SentenceReader,
    sentences: Sequence[str],
    *,
    policy: MemoryPolicy | None = None,
    chunk_frames: int = 4,
    kv_bits: int | None = None,
) -> Stream:
    """Return a stream that was shown sentences, all of them folded in; without a policy it keeps all."""
    stream = open_stream(model, policy or FullPolicy(), chunk_frames=chunk_frames, kv_bits=kv_bits)
    executor = Executor(model)
    for second, sentence in enumerate(sentences):
        stream.intake.accept(frame_of(sentence, float(second)))
        if stream.has_full_chunk:
            executor.run(stream.fold())
    executor.run(stream.prepare())
    return stream


def said(stream: Stream, texts: Sequence[str]) -> list[Logits]:
    """Return what follows each text, asked of a stream."""
    executor = Executor(stream.model)
    return [executor.run(continuation(stream, text)) for text in texts]


@torch.inference_mode()
def said_plainly(
    plain: Any, model: SentenceReader, sentences: Sequence[str], texts: Sequence[str]
) -> list[Logits]:
    """Return what follows each text by plain transformers, which reads all tokens at once.

    Args:
        plain: the checkpoint as transformers loads it.
        model: tells which tokens; nothing of it is computed.
        sentences: of the story.
        texts: each is read alone behind them.
    """
    chat = model.chat
    frames = [frame_of(sentence, float(second)) for second, sentence in enumerate(sentences)]
    shown = model.prepare(frames).values.long().flatten().tolist()
    found = []
    for text in texts:
        ids = [*chat.prefix_ids, *shown, model.padding_id, *chat.encode_user_text(text)]
        found.append(plain(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float())
    return found


def packed_equals_alone(model: SentenceReader, stories: Sequence[Story]) -> Difference:
    """Ask streams of several lengths in one forward, and each alone."""
    streams = [told(model, story.sentences, chunk_frames=3) for story in stories]
    alone = [said(stream, [PROBE])[0] for stream in streams]
    together = run_together(Executor(model), [continuation(stream, PROBE) for stream in streams])
    return difference(together, alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongMemory:
    """What is left of a memory after many compressions.

    Attributes:
        num_compressions: how many there were.
        num_frames: sentences that were shown.
        num_reindexed: how often positions were closed up, as they came near the limit.
        num_visual_tokens: that the layers hold, least and most.
        num_kept_changed: keys or values that some compression kept and changed, by a bit or more; merged
            tokens are new ones.
        recomputed: logits beside those of a plain recomputation from the raw keys and values held.
        shifted: the same, had the question stood five positions later: what a wrong position does.
    """

    num_compressions: int
    num_frames: int
    num_reindexed: int
    num_visual_tokens: tuple[int, int]
    num_kept_changed: int
    recomputed: Difference
    shifted: Difference


def compress_often(
    model: SentenceReader,
    plain: Any,
    num_compressions: int,
    *,
    max_positions: int = 1024,
    on_step: Callable[[int], None] = lambda _: None,
) -> LongMemory:
    """Compress a ragged memory after every sentence, close to the limit of positions, and check it.

    Args:
        model: in float32.
        plain: the checkpoint as transformers loads it.
        num_compressions: how often.
        max_positions: are pretended to be the model's, so that positions are closed up often.
        on_step: is called with the compressions so far.
    """
    short = copy(model)
    short.layout = replace(model.layout, max_positions=max_positions)
    # The deep layers hold twice what the shallow ones do; short prompts, since there are so many.
    policy = HermesPolicy(
        budget_tokens=96, tier_budget_weights=(0.7, 1.0, 1.4), prompts=("What is there?", "What came?")
    )
    stream = open_stream(short, policy, chunk_frames=1)
    executor, cache = Executor(short), stream.cache
    held: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    num_changed = num_reindexed = num_frames = newest_position = 0
    for seed in count():
        for sentence in tell_story(seed, 100).sentences:
            stream.intake.accept(frame_of(sentence, float(num_frames)))
            executor.run(stream.fold())
            num_frames += 1
            num_reindexed += cache.next_position < newest_position
            newest_position = cache.next_position
            num_changed += _compare(cache, held)
            on_step(cache.num_compressions)
            if cache.num_compressions >= num_compressions:
                return _checked(
                    stream,
                    plain,
                    num_frames=num_frames,
                    num_reindexed=num_reindexed,
                    num_kept_changed=num_changed,
                )
    raise AssertionError("stories never end")


def _compare(cache: StreamCache, held: dict[int, tuple[Tensor, Tensor, Tensor]]) -> int:
    """Return how many tokens that a layer holds now and held before differ; remember what it holds."""
    changed, state = 0, cache.state()
    for layer, length in enumerate(state.lengths.tolist()):
        slots = cache.visual_slots(layer)
        ids = state.token_ids[layer, :length]
        parts = (cache.keys(layer)[:, slots].clone(), cache.values(layer)[:, slots].clone())
        if layer in held:
            old_ids, *old_parts = held[layer]
            stays, stayed = torch.isin(ids, old_ids), torch.isin(old_ids, ids)
            for new, old in zip(parts, old_parts, strict=True):
                changed += int((new[:, stays] != old[:, stayed]).any(dim=(0, 2)).sum())
        held[layer] = (ids.clone(), *parts)
    return changed


@torch.inference_mode()
def _checked(stream: Stream, plain: Any, **counted: int) -> LongMemory:
    cache, model = stream.cache, stream.model
    embeddings = torch.cat([model.video_end, model.embed(model.chat.encode_user_text(PROBE))])
    ours = said(stream, [PROBE])
    others = [
        [
            plain.lm_head(
                recomputed_hidden(plain.get_decoder(), cache, embeddings, cache.next_position + off)[-1]
            )
        ]
        for off in (0, 5)
    ]
    return LongMemory(
        num_compressions=cache.num_compressions,
        num_visual_tokens=(min(cache.num_visual_tokens), max(cache.num_visual_tokens)),
        recomputed=difference(ours, others[0]),
        shifted=difference(ours, others[1]),
        **counted,
    )
