"""Questions: asked of a stream, and those of the record."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from hermes_stream.server.asking import answer_body, asked, count_question, picture_url
from hermes_stream.server.bodies import ERRORS, AnswerBody, AskBody, Listing, StreamName
from hermes_stream.server.sse import EventStream, sse, while_client_stays
from hermes_stream.server.state import Asker, ServerState, State, needs
from hermes_stream.service.question_log import QuestionRecord

router = APIRouter(tags=["questions"], responses=ERRORS)

_SSE_EXAMPLE = 'event: text\ndata: {"text": "A dog"}\n\nevent: answer\ndata: {"text": "A dog.", ...}\n\n'


@router.post(
    "/v1/streams/{name}/ask",
    response_model=AnswerBody,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _SSE_EXAMPLE}}}
    },
)
async def ask(name: StreamName, body: AskBody, request: Request, *, state: State, caller: Asker) -> object:
    """Ask about what a stream has shown so far. Events: `text` pieces, then `answer`, or `error`."""
    count_question(state, caller)
    if body.stream or "text/event-stream" in request.headers.get("accept", ""):
        return await _streamed(state, name, body)
    return await while_client_stays(request, _whole(state, name, body))


async def _whole(state: ServerState, name: str, body: AskBody) -> AnswerBody:
    async with asked(state, name, body.question, **_options(body)) as answer:
        return await answer_body(name, answer)


async def _streamed(state: ServerState, name: str, body: AskBody) -> Response:
    # entered here, so that what can be refused is refused before the stream begins
    holding = AsyncExitStack()
    answer = await holding.enter_async_context(asked(state, name, body.question, **_options(body)))

    async def events() -> AsyncGenerator[bytes]:
        async for piece in answer:
            yield sse({"text": piece}, event="text")
        yield sse((await answer_body(name, answer)).model_dump(), event="answer")

    return EventStream(events(), holding=holding)


def _options(body: AskBody) -> dict[str, Any]:
    now = {"wait_seconds", "until"} if body.wait_seconds is None else set()
    return {**body.model_dump(exclude={"stream", "question", *now}), "stop": tuple(body.stop)}


class QuestionBody(BaseModel):
    """A question of the record, and its answer."""

    id: int
    answer_id: str
    stream: str
    epoch: int
    asked_wall_seconds: float
    pts_seconds: float | None
    question: str
    options: list[str]
    remembered: bool
    answer: str
    option_index: int | None
    finish_reason: str
    failure: str | None
    num_tokens: int
    ttft_seconds: float | None
    ttft_with_pending_seconds: float | None
    confidence: float | None
    evidence: list[dict[str, Any]]
    guess: str | None


def _body_of(record: QuestionRecord) -> QuestionBody:
    fields = asdict(record.asked)
    evidence = [
        {**moment, "picture_url": picture_url(moment.get("picture"))} for moment in record.asked.evidence
    ]
    return QuestionBody(id=record.id, stream=record.stream, **{**fields, "evidence": evidence})


@router.get("/v1/questions", dependencies=needs("read"))
def list_questions(
    state: State,
    stream: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Number of a question.")] = None,
) -> Listing[QuestionBody]:
    """List questions with their answers, newest first."""
    found = state.service.questions(stream, limit=limit, before=before)
    return Listing(items=[_body_of(record) for record in found])
