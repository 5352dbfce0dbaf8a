"""Questions on behalf of clients: asked off the event loop, given up when nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.bodies import AnswerBody, Evidence
from hermes_stream.server.state import ServerState
from hermes_stream.service import CitedMoment, LiveAnswer

# A stream's seconds and the clock's may differ by as much before a question that waits counts as forgotten.
_STILL_SECONDS = 10.0


def count_question(state: ServerState, caller: Caller) -> None:
    """Count a question against the caller's quota, before anything is done for it.

    Raises:
        RefusedError: the caller has asked too much.
    """
    if caller.key is not None:
        state.quotas.take_question(caller.key.id, caller.key.max_questions)


@asynccontextmanager
async def asked(state: ServerState, stream: str, question: str, **options: Any) -> AsyncIterator[LiveAnswer]:
    """Ask, and lend the answer; what is not read of it when it is given back is not made.

    Args:
        state: of the server.
        stream: name of the stream.
        question: what is asked.
        **options: as ``Service.ask`` takes them.

    Raises:
        HermesError: the service refuses the question.
        ValueError: likewise.
    """
    asking = asyncio.ensure_future(asyncio.to_thread(state.service.ask, stream, question, **options))
    try:
        answer = await asyncio.shield(asking)
    except asyncio.CancelledError:
        asking.add_done_callback(_give_up)
        raise
    try:
        with _limited(answer, options.get("wait_seconds")):
            yield answer
    finally:
        state.metrics.count_answer(answer)


@contextmanager
def _limited(answer: LiveAnswer, wait_seconds: float | None) -> Iterator[None]:
    """Give an answer up where nobody reads it any more, or its stream shows nothing while it waits."""

    def give_up() -> None:
        if answer.is_waiting:
            answer.cancel()

    timer = None
    if wait_seconds is not None:
        timer = asyncio.get_running_loop().call_later(wait_seconds + _STILL_SECONDS, give_up)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
        if not answer.is_done:
            answer.cancel()


def _give_up(asking: asyncio.Future[LiveAnswer]) -> None:
    if not asking.cancelled() and asking.exception() is None:
        asking.result().cancel()


async def answer_body(stream: str, answer: LiveAnswer) -> AnswerBody:
    """Return an answer, read to its end, with its evidence."""
    async for _ in answer:
        pass
    evidence = await asyncio.to_thread(lambda: answer.evidence)
    return AnswerBody(
        id=answer.id,
        stream=stream,
        question=answer.question,
        seen_until_seconds=answer.seen_until_seconds,
        text=answer.text,
        option_index=answer.option_index,
        finish_reason=answer.finish_reason or "stop",
        num_tokens=len(answer.token_ids),
        ttft_seconds=answer.ttft_seconds,
        ttft_with_pending_seconds=answer.ttft_with_pending_seconds,
        tokens_per_second=answer.tokens_per_second,
        confidence=answer.confidence,
        clarification=answer.clarification,
        guess=answer.guess,
        unseen=answer.unseen,
        unseen_score=answer.unseen_score,
        evidence=[evidence_of(moment) for moment in evidence],
    )


def evidence_of(moment: CitedMoment) -> Evidence:
    """Return a moment with the address of its picture."""
    return Evidence(
        seconds=moment.seconds,
        from_seconds=moment.from_seconds,
        until_seconds=moment.until_seconds,
        share=moment.share,
        picture_url=picture_url(moment.picture),
    )


def picture_url(path: str | None) -> str | None:
    """Return the address of a picture on this server."""
    return None if path is None else f"/v1/pictures/{path}"
