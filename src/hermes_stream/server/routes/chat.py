"""OpenAI's chat completions and models."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from hermes_stream.server.asking import asked, count_question
from hermes_stream.server.bodies import ERRORS
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.openai.requests import ChatRequest, check_parameters
from hermes_stream.server.openai.responses import Completion, extras, finish_reason, usage_of
from hermes_stream.server.openai.watching import watched
from hermes_stream.server.sse import EventStream, sse, while_client_stays
from hermes_stream.server.state import Asker, ServerState, State, needs
from hermes_stream.service import LiveAnswer

router = APIRouter(prefix="/v1", tags=["openai"], responses=ERRORS)

_COMPLETION: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
        "description": "A completion, or its chunks and `[DONE]`.",
    }
}


@router.post("/chat/completions", responses=_COMPLETION, response_class=Response)
async def complete_chat(body: ChatRequest, request: Request, state: State, caller: Asker) -> Response:
    """Answer about a stream (`video_url` of `stream://NAME`), pictures or a file, as OpenAI does."""
    check_parameters(body)
    _check_model(state, body.model)
    count_question(state, caller)
    if body.stream:
        return await while_client_stays(request, _streamed(state, body))
    return await while_client_stays(request, _whole(state, body))


async def _whole(state: ServerState, body: ChatRequest) -> Response:
    async with _answering(state, body) as answer:
        async for _ in answer:
            pass
        usage = usage_of(answer, num_prompt_tokens=await _num_prompt_tokens(state, answer))
        completion = _completion(state, body).whole(answer, usage=usage, has_logprobs=bool(body.logprobs))
    return JSONResponse(completion)


async def _streamed(state: ServerState, body: ChatRequest) -> Response:
    holding = AsyncExitStack()
    # entered here, so that what can be refused is refused before the stream begins
    answer = await holding.enter_async_context(_answering(state, body))
    completion = _completion(state, body)

    async def events() -> AsyncGenerator[bytes]:
        yield sse(completion.chunk({"role": "assistant", "content": ""}))
        noted = 0
        async for piece in answer:
            new = list(answer.logprobs[noted:]) if body.logprobs else None
            noted += len(new or ())
            yield sse(completion.chunk({"content": piece}, logprobs=new))
        more = {"hermes": extras(answer)}
        yield sse(completion.chunk({}, finish_reason=finish_reason(answer), more=more))
        if body.stream_options is not None and body.stream_options.include_usage:
            num_prompt_tokens = await _num_prompt_tokens(state, answer)
            yield sse(completion.usage_chunk(usage_of(answer, num_prompt_tokens=num_prompt_tokens)))
        yield sse("[DONE]")

    return EventStream(events(), holding=holding, error_event=None)


@asynccontextmanager
async def _answering(state: ServerState, body: ChatRequest) -> AsyncIterator[LiveAnswer]:
    question = body.question
    options: dict[str, Any] = {
        "options": body.hermes.options,
        "max_new_tokens": body.max_completion_tokens or body.max_tokens,
        "temperature": body.temperature or 0.0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "repetition_penalty": body.repetition_penalty or 1.0,
        "stop": body.stop_texts,
        "seed": body.seed or 0,
        "num_moments": body.hermes.num_moments,
        "clarify_below": body.hermes.clarify_below,
        "allow_unseen": body.hermes.allow_unseen,
    }
    if body.logprobs:
        options["num_logprobs"] = body.top_logprobs or 0
    async with watched(state, body) as stream, asked(state, stream, question, **options) as answer:
        yield answer


def _completion(state: ServerState, body: ChatRequest) -> Completion:
    return Completion(id=f"chatcmpl-{secrets.token_hex(12)}", model=body.model, chat=state.service.model.chat)


async def _num_prompt_tokens(state: ServerState, answer: LiveAnswer) -> int:
    """Return the tokens that an answer read: those of the question, and those that the memory keeps."""

    def count() -> int:
        memory = state.service.stream(answer.stream).memory
        question = len(state.service.model.chat.question_ids(answer.question))
        return question + (memory.num_visual_tokens_kept if memory is not None else 0)

    return await asyncio.to_thread(count)


def _check_model(state: ServerState, name: str) -> None:
    if name != state.service.model.card.name:
        raise RefusedError(
            404,
            f"there is no model {name[:100]!r} here; this server runs {state.service.model.card.name!r}",
            code="model_not_found",
            param="model",
            accepted=[state.service.model.card.name],
        )


@router.get("/models", dependencies=needs("read"))
def list_models(state: State) -> dict[str, Any]:
    """List the model that this server runs."""
    return {"object": "list", "data": [_model(state)]}


@router.get("/models/{model:path}", dependencies=needs("read"))
def show_model(model: Annotated[str, Path(max_length=300)], state: State) -> dict[str, Any]:
    """Return the model that this server runs."""
    _check_model(state, model)
    return _model(state)


def _model(state: ServerState) -> dict[str, Any]:
    return {"id": state.service.model.card.name, "object": "model", "created": 0, "owned_by": "hermes-stream"}
