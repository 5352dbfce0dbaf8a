"""Answers of a Realtime session: one at a time, told piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.asking import asked, count_question
from hermes_stream.server.errors import RefusedError, refusal_of
from hermes_stream.server.openai.responses import extras
from hermes_stream.server.realtime.events import ResponseOptions, SessionSettings, new_id, server_event
from hermes_stream.server.state import ServerState
from hermes_stream.service import LiveAnswer

_NAMES = {"user": "User", "assistant": "Assistant"}


class Responder:
    """Makes answers, and tells a client of them.

    Args:
        state: of the server.
        caller: whose questions they answer.
        send: sends an event to the client; does nothing where it has left.
        add_item: notes a turn of the conversation, and tells it.
    """

    def __init__(
        self,
        state: ServerState,
        caller: Caller,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        add_item: Callable[..., Awaitable[dict[str, Any]]],
    ) -> None:
        self._state, self._caller, self._send, self._add_item = state, caller, send, add_item
        self._task: asyncio.Task[None] | None = None
        self._id = ""

    async def begin(
        self,
        stream: str,
        items: list[dict[str, Any]],
        settings: SessionSettings,
        options: ResponseOptions,
    ) -> None:
        """Answer the newest question of a conversation.

        Args:
            stream: that it is about.
            items: turns so far.
            settings: of the session.
            options: of this answer, which go before the session's.

        Raises:
            RefusedError: an answer is in hand, or nothing was asked.
        """
        if self._task is not None and not self._task.done():
            raise RefusedError(
                409,
                f"answer {self._id!r} is in hand; cancel it, or wait for response.done",
                code="conversation_already_has_active_response",
            )
        question = question_of(items, settings, options)
        count_question(self._state, self._caller)
        most = options.max_output_tokens or settings.max_output_tokens
        self._id = new_id("resp")
        response: dict[str, Any] = {
            "id": self._id,
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
            "output_modalities": ["text"],
            "metadata": options.metadata,
        }
        await self._send(server_event("response.created", response=response))
        self._task = asyncio.ensure_future(
            self._answer(
                stream,
                question,
                response,
                max_new_tokens=None if most == "inf" else most,
                num_moments=settings.hermes.num_moments,
                clarify_below=settings.hermes.clarify_below,
            )
        )
        await asyncio.sleep(0)  # its first step: a task that is cancelled before tells no response.done

    async def cancel(self, response_id: str | None = None) -> None:
        """Give up the answer in hand, if there is one.

        Raises:
            RefusedError: another answer is in hand than is named.
        """
        if response_id is not None and response_id != self._id:
            raise RefusedError(
                404,
                f"there is no answer {response_id[:80]!r} in hand",
                code="response_not_found",
                param="response_id",
            )
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _answer(self, stream: str, question: str, response: dict[str, Any], **options: Any) -> None:
        try:
            async with asked(self._state, stream, question, **options) as answer:
                item = await self._tell(answer)
            done = {"status": "completed", "output": [item], "hermes": extras(answer)}
            if answer.finish_reason == "length":
                done |= {
                    "status": "incomplete",
                    "status_details": {"type": "incomplete", "reason": "max_output_tokens"},
                }
        except asyncio.CancelledError:
            details = {"type": "cancelled", "reason": "client_cancelled"}
            cancelled = {**response, "status": "cancelled", "status_details": details}
            await asyncio.shield(self._send(server_event("response.done", response=cancelled)))
            raise
        except Exception as error:
            content = refusal_of(error).body["error"]
            done = {"status": "failed", "status_details": {"type": "failed", "error": content}}
            await self._send(server_event("error", error={**content, "event_id": None}))
        await self._send(server_event("response.done", response={**response, **done}))

    async def _tell(self, answer: LiveAnswer) -> dict[str, Any]:
        """Tell an answer as it is made; return its turn."""
        item_id = new_id("item")
        item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        place = {"response_id": self._id, "output_index": 0}
        part = {"item_id": item_id, **place, "content_index": 0}
        begun = {**item, "status": "in_progress", "content": []}
        await self._send(server_event("response.output_item.added", item=begun, **place))
        await self._send(
            server_event("response.content_part.added", part={"type": "text", "text": ""}, **part)
        )
        async for piece in answer:
            await self._send(server_event("response.output_text.delta", delta=piece, **part))
        text = answer.text
        await self._send(server_event("response.output_text.done", text=text, **part))
        await self._send(
            server_event("response.content_part.done", part={"type": "text", "text": text}, **part)
        )
        done = await self._add_item("assistant", [{"type": "output_text", "text": text}], item_id=item_id)
        await self._send(server_event("response.output_item.done", item=done, **place))
        return done


def question_of(items: list[dict[str, Any]], settings: SessionSettings, options: ResponseOptions) -> str:
    """Return the newest question, with what goes before it.

    Args:
        items: turns so far.
        settings: say how many earlier turns go before it.
        options: of this answer.

    Raises:
        RefusedError: nothing was asked.
    """
    turns = [(item["role"], _text_of(item)) for item in items if item["role"] in _NAMES and _text_of(item)]
    asked_last: list[str] = []
    while turns and turns[-1][0] == "user":
        asked_last.insert(0, turns.pop()[1])
    if not asked_last:
        raise RefusedError(
            400, "nothing was asked since the last answer; send an item with input_text", code="no_question"
        )
    rules = [_text_of(item) for item in items if item["role"] == "system"]
    rules.append(options.instructions or settings.instructions or "")
    question = "\n".join(asked_last)
    earlier = turns[-2 * settings.hermes.num_turns :] if settings.hermes.num_turns else []
    if earlier:
        question = "\n".join(f"{_NAMES[role]}: {text}" for role, text in [*earlier, ("user", question)])
    return "\n\n".join([*filter(None, rules), question])


def _text_of(item: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in item["content"] if part.get("text"))
