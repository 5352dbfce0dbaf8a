"""Guidance prompts at work: what each layer's prompt pays to what it holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.attention_weights import Probe
from hermes_stream.cache import StreamCache
from hermes_stream.errors import ModelError
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import TURN_END, Guidance, MemoryPolicy
from hermes_stream.segments import Segment
from hermes_stream.stream.positions import text_positions
from hermes_stream.stream.work import Work, forward

Embed = Callable[[str], Float[Tensor, "tokens hidden"]]


def guidance_of(model: VideoModel, policy: MemoryPolicy, last_conversation: str | None) -> Guidance | None:
    """Return the prompts that a policy asks for; None reads nothing."""
    return policy.guidance(model.layout.num_layers, model.card.guidance_prompts, last_conversation)


def prompt_ids(model: VideoModel, prompt: str, last_conversation: str | None = None) -> list[int]:
    """Return the tokens of a prompt, ``TURN_END`` filled in with the model's own words.

    Args:
        model: reads the prompt.
        prompt: one of a policy's guidance.
        last_conversation: what users and model said, as it stands in the prompt; special tokens and
            ``TURN_END`` in it are plain text.
    """
    talk = last_conversation or ""
    # the longer first: one may begin like the other
    both = sorted((talk, TURN_END), key=len, reverse=True)
    marks = "|".join(re.escape(mark) for mark in both if mark)
    own = [""]
    for part in re.split(f"({marks})", prompt):
        if talk and part == talk:
            own.append("")
        else:
            own[-1] += model.chat.after_question if part == TURN_END else part
    return model.chat.encode_around(own, talk)


def embedded_prompt(
    model: VideoModel, prompt: str, last_conversation: str | None = None
) -> Float[Tensor, "tokens hidden"]:
    """Return the embeddings of a prompt's tokens, see ``prompt_ids``."""
    return model.embed(prompt_ids(model, prompt, last_conversation))


def prompt_lengths(model: VideoModel, policy: MemoryPolicy) -> list[int]:
    """Return the tokens of each prompt, a conversation of one word in it.

    Raises:
        ModelError: a prompt has no tokens, because the chat template ends with the question.
    """
    guidance = guidance_of(model, policy, ".")
    if guidance is None or not guidance.prompts:
        return []
    lengths = [len(prompt_ids(model, text)) for text in guidance.prompts]
    if not all(lengths):
        raise ModelError(
            f"policy {type(policy).__name__} scores what it keeps by a text that model {model.card.name!r} "
            f"does not have: its chat template writes nothing behind the question; choose another policy, or "
            f"a checkpoint whose template opens the assistant's turn"
        )
    return lengths


def zero_weights(cache: StreamCache) -> Float[Tensor, "layers slots"]:
    """Return room to add up attention in."""
    return torch.zeros(cache.layout.num_layers, max(cache.num_tokens), device=cache.layout.device)


def guidance_segments(
    model: VideoModel,
    cache: StreamCache,
    guidance: Guidance,
    max_tokens: int,
    *,
    embed: Embed | None = None,
) -> tuple[list[Segment], Float[Tensor, "layers slots"]]:
    """Return the prompts as segments that read the memory and leave nothing, and what they will collect.

    A forward fills it with the attention that each layer's prompt pays to what the layer holds then, chunks
    that come before them in the same forward included.

    Args:
        model: reads the prompts.
        cache: a stream's memory; the slots of the chunk are reserved.
        guidance: which layer listens to which prompt.
        max_tokens: of a prompt; what is longer is cut.
        embed: returns the embeddings of a prompt; None takes it as it is.

    Paper: sec. 3.1, pseudo query
    Differs: in the released code the prompt's hidden states never advance, so that every layer scores
        with queries made from word embeddings; here the prompt takes a true forward, unless the guidance
        says that it does not advance.
    """
    weights, segments = zero_weights(cache), []
    embed = embed or partial(embedded_prompt, model)
    for index, text in enumerate(guidance.prompts):
        embeddings = embed(text)[:max_tokens]
        listening = frozenset(i for i, prompt in enumerate(guidance.prompt_of_layer) if prompt == index)
        segments.append(
            Segment(
                cache=cache,
                embeddings=embeddings,
                positions=text_positions(cache.layout.rotary.num_axes, len(embeddings), cache.next_position),
                probe=Probe(weights=weights, layers=listening),
            )
        )
    # Those that are read deepest come first: what is behind them in the slots ends before they do.
    return sorted(segments, key=_last_layer, reverse=True), weights


def _last_layer(segment: Segment) -> int:
    return -1 if segment.probe is None else segment.probe.last_layer


def read_guidance(
    model: VideoModel,
    cache: StreamCache,
    guidance: Guidance,
    max_tokens: int,
    *,
    embed: Embed | None = None,
) -> Work[Float[Tensor, "layers slots"]]:
    """Return the attention that prompts pay to what is held, in a forward of their own.

    Args:
        model: reads the prompts.
        cache: a stream's memory.
        guidance: which layer listens to which prompt, and whether prompts advance.
        max_tokens: of a prompt; what is longer is cut.
        embed: returns the embeddings of a prompt; None takes it as it is.
    """
    segments, weights = guidance_segments(model, cache, guidance, max_tokens, embed=embed)
    yield from forward(segments, "compress", advances=guidance.advances)
    return weights


class StreamGuidance:
    """The prompts of one stream: what its policy asks, after what was said last.

    Args:
        model: reads the prompts.
        policy: asks for them.
        max_tokens: of a prompt; what is longer is cut.
        conversation_tokens: of the last question and answer; likewise.

    Attributes:
        last_conversation: the last question and its answer; None before the first.
    """

    def __init__(
        self, model: VideoModel, policy: MemoryPolicy, *, max_tokens: int, conversation_tokens: int
    ) -> None:
        self._model, self._policy = model, policy
        self._max_tokens, self._conversation_tokens = max_tokens, conversation_tokens
        self.last_conversation: str | None = None
        # The same few prompts at each compression, until there is another conversation.
        self._embedded = lru_cache(maxsize=4)(partial(embedded_prompt, model))

    @property
    def wanted(self) -> Guidance | None:
        """What the policy asks for now; None where it plans without."""
        return guidance_of(self._model, self._policy, self.last_conversation)

    @property
    def observes(self) -> bool:
        """Whether what the policy asks for is seen only while a chunk is written."""
        guidance = guidance_of(self._model, self._policy, None)
        return guidance is not None and guidance.observed_tokens > 0

    def remember(self, question: str, answer: str) -> None:
        """Let the last question and answer steer later guidance, and only that.

        Paper: app. B, last_conv
        """
        chat = self._model.chat
        ids = chat.encode_user_text(f"Question: {question} Answer: {answer}")
        self.last_conversation = chat.decode(ids[: self._conversation_tokens])

    def segments(
        self, cache: StreamCache, guidance: Guidance
    ) -> tuple[list[Segment], Float[Tensor, "layers slots"]]:
        """Return the prompts as segments of a chunk's forward, see ``guidance_segments``."""
        return guidance_segments(self._model, cache, guidance, self._max_tokens, embed=self._embed)

    def read(self, cache: StreamCache, guidance: Guidance) -> Work[Float[Tensor, "layers slots"]]:
        """Return the attention of the prompts in a forward of their own, see ``read_guidance``."""
        return read_guidance(self._model, cache, guidance, self._max_tokens, embed=self._embed)

    def _embed(self, prompt: str) -> Float[Tensor, "tokens hidden"]:
        return self._embedded(prompt, self.last_conversation)
