"""One Realtime session: its settings, its turns, its stream, and the answer in hand."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from hermes_stream.server.access.callers import Caller
from hermes_stream.server.bodies import OpenStream
from hermes_stream.server.errors import RefusedError, refusal_of
from hermes_stream.server.pushing import PushedPicture, push
from hermes_stream.server.realtime.events import (
    CancelResponse,
    ClientEvent,
    CreateItem,
    CreateResponse,
    DeleteItem,
    InputPart,
    Item,
    RetrieveItem,
    SessionSettings,
    UpdateSession,
    new_id,
    read_event,
    server_event,
)
from hermes_stream.server.realtime.leases import PREFIX, is_leased
from hermes_stream.server.realtime.responding import Responder
from hermes_stream.server.routes.streams import opened
from hermes_stream.server.state import ServerState

_MAX_ITEMS, _MAX_CHARACTERS = 256, 1_000_000
_RESUME, _RESUME_SECONDS = "realtime", 3600.0

_Settings = TypeVar("_Settings", bound=BaseModel)
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RealtimeSession:
    """Does what a client's events say, and tells it in OpenAI's words.

    Args:
        state: of the server.
        caller: who is there.
        send: sends an event to the client; does nothing where it has left.
        stream: that questions are about; None until it is named, or the session's own is opened.
        is_resumed: whether the client has come back to it.
    """

    def __init__(
        self, state: ServerState, caller: Caller, send: Send, *, stream: str | None, is_resumed: bool
    ) -> None:
        self._state, self._caller, self._send = state, caller, send
        self._id = new_id("sess")
        self._settings = SessionSettings()
        self._stream: str | None = None
        self._is_resumed = is_resumed
        self._items: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._responder = Responder(state, caller, send, self._add_item)
        if stream is not None:
            self._use(stream)

    def _use(self, stream: str) -> None:
        """Be about a stream from now on."""
        self._stream = stream
        if is_leased(stream):
            self._state.leases.take(stream)

    @classmethod
    def stream_of_token(cls, state: ServerState, token: str) -> str:
        """Return the stream that a client comes back to.

        Raises:
            RefusedError: the token is none, or too old.
        """
        claims = state.signer.read(_RESUME, token)
        if claims is None:
            raise RefusedError(
                400,
                "the resume token is none of this server, or too old; begin a new session",
                code="invalid_resume_token",
                param="resume",
            )
        return str(claims["stream"])

    async def begin(self) -> None:
        """Tell the client that the session is there."""
        await self._send(server_event("session.created", session=self._described()))

    async def take(self, text: bytes | str) -> None:
        """Do what one event says; what is wrong with it is told, and the session goes on."""
        event_id = None
        try:
            event = read_event(text)
            event_id = event.event_id
            await self._do(event)
        except Exception as error:
            content = refusal_of(error).body["error"]
            await self._send(server_event("error", error={**content, "event_id": event_id}))

    async def end(self) -> None:
        """Give up the answer in hand, and keep the session's own stream for a while."""
        await self._responder.cancel()
        if self._stream is not None and is_leased(self._stream):
            self._state.leases.give_back(self._stream)

    def warning(self) -> dict[str, Any]:
        """Return what a client is told before the server goes away."""
        return server_event(
            "hermes.going_away",
            retry_after_seconds=5,
            resume_token=self._described()["hermes"]["resume_token"],
        )

    async def _do(self, event: ClientEvent) -> None:
        if isinstance(event, UpdateSession):
            await self._update(event.session)
        elif isinstance(event, CreateItem):
            await self._create_item(event.item)
        elif isinstance(event, DeleteItem):
            self._item(event.item_id)
            del self._items[event.item_id]
            await self._send(server_event("conversation.item.deleted", item_id=event.item_id))
        elif isinstance(event, RetrieveItem):
            item = self._item(event.item_id)
            await self._send(server_event("conversation.item.retrieved", item=item))
        elif isinstance(event, CreateResponse):
            if self._stream is None:
                raise RefusedError(
                    409,
                    "nothing was shown yet; send a picture, or name a stream in session.hermes",
                    code="no_video",
                )
            await self._responder.begin(
                self._stream, list(self._items.values()), self._settings, event.response
            )
        elif isinstance(event, CancelResponse):
            await self._responder.cancel(event.response_id)

    async def _update(self, settings: SessionSettings) -> None:
        named = settings.hermes.stream
        if named is not None and named != self._stream:
            if self._stream is not None:
                raise RefusedError(
                    409,
                    f"the session is about stream {self._stream!r} already; begin another one for {named!r}",
                    code="stream_is_set",
                    param="session.hermes.stream",
                )
            await asyncio.to_thread(self._state.service.stream, named)
            self._use(named)
        # what an event does not name stays, within hermes, too
        hermes = _changed(self._settings.hermes, settings.hermes)
        self._settings = _changed(self._settings, settings).model_copy(update={"hermes": hermes})
        await self._send(server_event("session.updated", session=self._described()))

    async def _create_item(self, item: Item) -> None:
        if item.id in self._items:
            raise RefusedError(
                409,
                f"there is an item {item.id!r} in this session already; give another id, or none",
                code="item_exists",
                param="item.id",
            )
        receipts = [await self._show(part) for part in item.content if part.type == "input_image"]
        content = [{"type": part.type, **_shown(part)} for part in item.content]
        await self._add_item(item.role, content, item_id=item.id)
        for receipt in receipts:
            await self._send(server_event("hermes.frame", stream=self._stream, **receipt))

    async def _add_item(
        self, role: str, content: list[dict[str, Any]], *, item_id: str | None = None
    ) -> dict[str, Any]:
        previous = next(reversed(self._items), None)
        item = {
            "id": item_id or new_id("item"),
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": role,
            "content": content,
        }
        self._items[str(item["id"])] = item
        while len(self._items) > 1 and self._is_too_long():
            self._items.popitem(last=False)
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._send(server_event(kind, previous_item_id=previous, item=item))
        return item

    def _is_too_long(self) -> bool:
        """Tell whether there are more turns, or longer ones, than are kept."""
        parts = [part for item in self._items.values() for part in item["content"]]
        num_characters = sum(len(part.get("text", "")) for part in parts)
        return len(self._items) > _MAX_ITEMS or num_characters > _MAX_CHARACTERS

    async def _show(self, part: InputPart) -> dict[str, Any]:
        """Give a picture to the stream, the session's own where none is named."""
        encoded = _picture_of(part)
        if self._stream is None:
            chosen = self._settings.hermes.model_dump(
                include={"policy", "budget_tokens", "fps"}, exclude_none=True
            )
            body = OpenStream(name=PREFIX + new_id("s").removeprefix("s_"), **chosen)
            await opened(self._state, self._caller, body)
            self._use(body.name)
        assert self._stream is not None
        picture = PushedPicture(pts_us=part.hermes.pts_us, encoded=encoded)
        return (await asyncio.to_thread(push, self._state, self._stream, [picture])).model_dump()

    def _item(self, item_id: str) -> dict[str, Any]:
        if item_id not in self._items:
            raise RefusedError(
                404,
                f"there is no item {item_id[:80]!r} in this session",
                code="item_not_found",
                param="item_id",
            )
        return self._items[item_id]

    def _described(self) -> dict[str, Any]:
        token = None
        if self._stream is not None:
            token = self._state.signer.sign(_RESUME, {"stream": self._stream}, seconds=_RESUME_SECONDS)
        return {
            "id": self._id,
            "object": "realtime.session",
            "type": "realtime",
            "model": self._state.service.model.card.name,
            **self._settings.model_dump(exclude={"hermes"}),
            "hermes": {
                **self._settings.hermes.model_dump(exclude={"stream"}),
                "stream": self._stream,
                "is_resumed": self._is_resumed,
                "resume_token": token,
            },
        }


def _changed(settings: _Settings, changes: _Settings) -> _Settings:
    """Return settings with what changes name, and nothing else, in its place."""
    return settings.model_copy(update={name: getattr(changes, name) for name in changes.model_fields_set})


def _picture_of(part: InputPart) -> bytes:
    head, comma, content = (part.image_url or "").partition(",")
    try:
        if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
            raise ValueError("it begins otherwise")
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(
            400,
            f"image_url of an input_image must be 'data:image/jpeg;base64,...' with a JPEG or PNG: {error}",
            code="invalid_picture",
            param="item.content.image_url",
        ) from error


def _shown(part: InputPart) -> dict[str, Any]:
    """Return a part as the session keeps it: pictures go to the stream, and are not kept twice."""
    return {} if part.type == "input_image" else {"text": part.text or ""}
