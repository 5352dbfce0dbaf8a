"""One stream's life: frames are observed, questions are asked, the memory stays bounded."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hermes_stream.cache import StreamCache
from hermes_stream.errors import CapacityError, VideoError
from hermes_stream.filters.base import TokenFilter
from hermes_stream.memory.state import MemoryState
from hermes_stream.memory.tiers import Tier, Tiers
from hermes_stream.models.base import VideoModel
from hermes_stream.policies.base import MemoryPolicy
from hermes_stream.policies.hermes import HermesPolicy
from hermes_stream.stream.album import runs_of_one_size
from hermes_stream.stream.answer import Answer
from hermes_stream.stream.choice import OPENING, Ballot, check_options, phrase
from hermes_stream.stream.evidence import Evidence, evidence_of, read_attention
from hermes_stream.stream.generation import Sampling, TextStream, choose_token
from hermes_stream.stream.intake import Intake
from hermes_stream.stream.memory import StreamMemory
from hermes_stream.stream.stats import SessionStats
from hermes_stream.video.frame import Frame


class Session:
    """Watches one stream with a model and answers questions about it from a bounded memory.

    Several sessions may share a model. A session is not thread-safe: one call at a time.

    Args:
        model: a loaded model.
        policy: what the memory keeps; None is ``HermesPolicy.paper`` with the model's default budget. A
            budget that the model's positions do not hold is lowered, with a warning (see the attribute).
        fps: sample the observed frames by time at this rate, in frames per second; None takes every frame.
        chunk_frames: frames that are prefilled together, at least 1; fewer where they would take more than
            half of the model's positions (see the attribute).
        text_tokens: room for a question and its answer together, in tokens; None takes an eighth of the
            model's positions, at most 2,048.
        filter: what drops visual tokens before they are prefilled, with any policy; None drops none.

    Attributes:
        policy: what the memory keeps in fact.
        chunk_frames: frames that are prefilled together in fact; whole temporal patches where the model has
            them.

    Raises:
        CapacityError: two frames and text do not fit the model's positions.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        model: VideoModel,
        policy: MemoryPolicy | None = None,
        *,
        fps: float | None = None,
        chunk_frames: int = 16,
        text_tokens: int | None = None,
        filter: TokenFilter | None = None,
    ) -> None:
        self.model = model
        policy = policy or HermesPolicy.paper(budget_tokens=model.card.default_budget_tokens)
        self._memory = StreamMemory(
            model, policy, chunk_frames=chunk_frames, text_tokens=text_tokens, token_filter=filter
        )
        self.policy = self._memory.policy
        self.chunk_frames = self._memory.chunk_frames
        self._intake = Intake(fps)
        self._pending: list[Frame] = []
        self._answer: Answer | None = None
        self._num_questions = 0
        self._recall_seconds: float | None = None

    @property
    def cache(self) -> StreamCache:
        """The stream's cache, for inspection."""
        return self._memory.cache

    def observe(self, frames: Iterable[Frame] | Frame) -> None:
        """Watch frames; full chunks enter the memory at once, the rest waits for more or for a question.

        If this fails, frames up to the one it names are kept, and the session goes on working.

        Args:
            frames: any number of frames, timestamps increasing over the whole stream.

        Raises:
            ValueError: a frame is malformed or not later than the one before.
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        self._close_open_answer()
        for frame in [frames] if isinstance(frames, Frame) else frames:
            if len(self._pending) >= self.chunk_frames:
                self._fold()
            if self._intake.accepts(frame):
                self._pending.append(frame)
        if len(self._pending) >= self.chunk_frames:
            self._fold()

    def flush(self) -> None:
        """Fold the waiting frames into the memory now.

        Raises:
            CapacityError: the memory has no bound and the model's positions are used up.
        """
        self._close_open_answer()
        self._fold()

    def _fold(self) -> None:
        for run in runs_of_one_size(self._pending):
            self._memory.fold(run)
            del self._pending[: len(run)]

    def ask(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Answer:
        """Answer a question about the stream so far. The memory is the same before and after.

        Waiting frames are folded in first. When this returns, the first token exists; iterate the answer for
        its pieces, or read its ``text``.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question; the answer is one of them.
            max_new_tokens: most tokens of the answer; None takes what room there is, at most 256.
            temperature: 0 is greedy.
            top_p: see ``Sampling``.
            repetition_penalty: see ``Sampling``.
            stop: texts that end the answer.
            seed: of the sampling.

        Raises:
            CapacityError: question and answer do not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: an argument is out of its range.
        """
        called = time.perf_counter()
        _check_question(question)
        sampling = Sampling(
            max_new_tokens=256 if max_new_tokens is None else max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            repetition_penalty=repetition_penalty,
            stop=tuple(stop),
            seed=seed,
        )
        asked, ballot = self._question_ids(question, options), self._ballot(options)
        room = self._check_room(len(asked), ballot.longest_tokens if ballot else max_new_tokens or 1)
        sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))
        pending_seconds = self._prepare()
        answer = Answer(question, options or ())
        if ballot:
            answer.begin(self._choose_option(answer, asked, ballot))
        else:
            answer.begin(self._open_answer_pieces(answer, asked, sampling))
        answer.ttft_with_pending_seconds = time.perf_counter() - called
        answer.ttft_seconds = answer.ttft_with_pending_seconds - pending_seconds
        self._answer = answer
        return answer

    def next_token_logits(
        self, question: str, options: Sequence[str] | None = None
    ) -> Float[Tensor, " vocabulary"]:
        """Return the logits of an answer's first token, float32, in host memory; for tests and research.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet.
        """
        _check_question(question)
        asked = self._question_ids(question, options)
        self._check_room(len(asked), 1)
        self._prepare()
        with self._memory.asking():
            return self._prefill_question(asked).cpu()

    def read_attention(
        self,
        question: str,
        options: Sequence[str] | None = None,
        *,
        answer_ids: Sequence[int] = (),
        whole_question: bool = False,
    ) -> MemoryState:
        """Return what a question reads, with the attention that it pays to each token.

        The question takes a forward of its own; the memory is the same before and after.

        Args:
            question: what is asked, not empty.
            options: choices of a multiple-choice question.
            answer_ids: tokens of an answer that was given; attention is the mean over the places that chose
                them. Without, it is that of the place that chooses the first.
            whole_question: take the mean over all tokens of the question instead.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet.
            ValueError: the question is empty, or an answer is given with ``whole_question``.
        """
        _check_question(question)
        if answer_ids and whole_question:
            raise ValueError("answer_ids and whole_question exclude each other; leave one of them out")
        asked = self._question_ids(question, options)
        self._check_room(len(asked), max(1, len(answer_ids)))
        self._prepare()
        parts = [
            (torch.cat([self.model.video_end, self.model.embed(asked)]), len(asked) if whole_question else 1)
        ]
        if len(answer_ids) > 1:
            parts.append((self.model.embed(answer_ids[:-1]), len(answer_ids) - 1))
        return read_attention(self._memory, parts)

    def evidence(
        self, question: str, options: Sequence[str] | None = None, *, answer_ids: Sequence[int] = ()
    ) -> Evidence:
        """Return on which moments of the stream an answer's attention rests; see ``read_attention``.

        Raises:
            CapacityError: the question does not fit the room for text.
            VideoError: no frame was observed yet, or nothing of any is remembered.
            ValueError: the question is empty.
        """
        return evidence_of(self.read_attention(question, options, answer_ids=answer_ids))

    @property
    def stats(self) -> SessionStats:
        """What this session has done and holds."""
        kept = self._memory.num_visual_tokens
        tiers = Tiers(num_layers=len(kept)).tier_of_layer
        by_tier = {
            tier.name.lower(): max((n for n, own in zip(kept, tiers, strict=True) if own == tier), default=0)
            for tier in Tier
        }
        answer, recall = self._answer, self._recall_seconds
        return SessionStats(
            num_frames=self._memory.num_frames + len(self._pending),
            num_pending_frames=len(self._pending),
            num_visual_tokens_seen=self._memory.num_seen,
            num_visual_tokens_dropped=self._memory.num_dropped,
            num_visual_tokens_kept=max(kept),
            num_archived_tokens=self._memory.num_archived_tokens,
            num_kept_by_tier=by_tier,
            num_compressions=self.cache.num_compressions,
            num_questions=self._num_questions,
            cache_bytes=self._memory.device_bytes,
            host_bytes=self._memory.host_bytes,
            recall_seconds=None if recall is None else recall + self._memory.retrieval_seconds,
            ttft_seconds=answer.ttft_seconds if answer else None,
            ttft_with_pending_seconds=answer.ttft_with_pending_seconds if answer else None,
            tokens_per_second=answer.tokens_per_second if answer else None,
        )

    def _question_ids(self, question: str, options: Sequence[str] | None) -> list[int]:
        chat = self.model.chat
        if options is None:
            return chat.question_ids(question)
        check_options(options)
        if self.model.card.multiple_choice == "text":
            return chat.question_ids(question)
        return chat.question_ids(phrase(question, options), OPENING)

    def _ballot(self, options: Sequence[str] | None) -> Ballot | None:
        if options is None:
            return None
        if self.model.card.multiple_choice == "text":
            return Ballot.of_texts(self.model.chat, options)
        return Ballot.of_letters(self.model.chat, len(options))

    def _check_room(self, question_tokens: int, answer_tokens: int) -> int:
        """Return the room that a question leaves for its answer."""
        total = self._memory.text_tokens
        question_tokens += len(self.model.video_end)
        if question_tokens + answer_tokens > total:
            raise CapacityError(
                f"the question takes {question_tokens} tokens and its answer up to {answer_tokens}, together "
                f"more than the {total} that this session has for text; ask a shorter question, lower "
                f"max_new_tokens, or make the session with more text_tokens"
            )
        return total - question_tokens

    def _prepare(self) -> float:
        """Fold in what waits, in the time returned; then recall what the policy leaves for a question.

        Raises:
            VideoError: no frame was observed yet.
        """
        began = time.perf_counter()
        self.flush()
        self._check_seen()
        self._wait_for_device()
        folded = time.perf_counter()
        self._memory.recall()
        self._wait_for_device()
        self._recall_seconds = time.perf_counter() - folded
        return folded - began

    def _check_seen(self) -> None:
        if not self._memory.num_frames:
            raise VideoError(
                "no frame was observed yet, so there is nothing to ask about; observe frames first"
            )

    def _prefill_question(self, asked: list[int]) -> Float[Tensor, " vocabulary"]:
        return self._memory.extend(torch.cat([self.model.video_end, self.model.embed(asked)]))

    def _open_answer_pieces(self, answer: Answer, asked: list[int], sampling: Sampling) -> Generator[str]:
        """Yield an answer's text while its tokens are made; rewind however this ends."""
        chat = self.model.chat
        generator = torch.Generator(self.model.layout.device).manual_seed(sampling.seed)
        text = TextStream(chat, sampling.stop)
        with self._memory.asking():
            logits = self._prefill_question(asked)
            begun = None
            while True:
                token = choose_token(logits, answer.token_ids, sampling, generator)
                begun = begun or time.perf_counter()
                if token in chat.stop_token_ids:
                    answer.finish_reason = "stop"
                    break
                answer.token_ids.append(token)
                yield text.take(token)
                if text.stopped or len(answer.token_ids) == sampling.max_new_tokens:
                    answer.finish_reason = "stop" if text.stopped else "length"
                    break
                logits = self._memory.extend(self.model.embed([token]))
            if len(answer.token_ids) > 1:
                answer.tokens_per_second = (len(answer.token_ids) - 1) / (time.perf_counter() - begun)
            yield text.finish()
        self._remember(answer.question, text.text)

    def _choose_option(self, answer: Answer, asked: list[int], ballot: Ballot) -> Generator[str]:
        """Yield the chosen option; the model's own next tokens decide, among those that lead to one."""
        with self._memory.asking():
            token = ballot.choose(self._prefill_question(asked))
            while not ballot.is_decided:
                token = ballot.choose(self._memory.extend(self.model.embed([token])))
        answer.option_index = ballot.open_indices[0]
        answer.finish_reason = "stop"
        chosen = answer.options[answer.option_index]
        self._remember(answer.question, chosen)
        yield chosen

    def _remember(self, question: str, answer: str) -> None:
        self._num_questions += 1
        self._memory.remember_conversation(question, answer)

    def _close_open_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _wait_for_device(self) -> None:
        if self.model.layout.device.type == "cuda":
            torch.cuda.synchronize(self.model.layout.device)


def _check_question(question: str) -> None:
    if not isinstance(question, str) or not question.strip():
        raise ValueError(f"a question must be a non-empty text, got {question!r}")
