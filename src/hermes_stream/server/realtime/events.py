"""What clients send in a Realtime session."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from hermes_stream.server.bodies import Name
from hermes_stream.server.errors import RefusedError
from hermes_stream.server.pushing import MAX_PTS_US

MAX_TEXT_CHARACTERS = 100_000


class SessionHermes(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """What OpenAI has no word for, of a session."""

    stream: Name | None = None
    """The stream that questions are about; without one, the session has its own."""
    policy: Annotated[str, Field(max_length=500)] | None = None
    """What the session's own stream keeps."""
    budget_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """Visual tokens that it keeps."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Pictures that it samples per second."""
    num_moments: Annotated[int, Field(ge=0, le=100)] = 3
    """Moments of evidence with an answer, at most."""
    clarify_below: Annotated[float, Field(ge=0, le=1)] | None = None
    """Reply with a question back where the confidence is below; the text then comes whole."""
    num_turns: Annotated[int, Field(ge=0, le=50)] = 0
    """Earlier questions and answers that are put before a question, as text."""


class SessionSettings(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Settings of a session; audio has none here."""

    instructions: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] | None = None
    """Put before every question."""
    output_modalities: list[Literal["text"]] = ["text"]
    """Answers are text."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["inf"] | None = None
    """Tokens of an answer, at most."""
    hermes: SessionHermes = SessionHermes()
    """What OpenAI has no word for."""


class PartHermes(BaseModel, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False):
    """What OpenAI has no word for, of a picture."""

    pts_us: Annotated[int, Field(ge=0, le=MAX_PTS_US)] | None = None
    """When it was taken, in microseconds of the stream; by its arrival without."""


class InputPart(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Text or a picture."""

    type: Literal["input_text", "input_image", "output_text", "text"]
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] | None = None
    image_url: str | None = None
    hermes: PartHermes = PartHermes()


class Item(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """A turn of the conversation, or a part of one."""

    id: Annotated[str, Field(max_length=64)] | None = None
    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[InputPart], Field(max_length=64)]


class ResponseOptions(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    """Of one answer."""

    instructions: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["inf"] | None = None
    metadata: dict[str, str] | None = None


class _Event(BaseModel, extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False):
    event_id: Annotated[str, Field(max_length=512)] | None = None


class UpdateSession(_Event):
    """Change settings."""

    type: Literal["session.update"]
    session: SessionSettings


class CreateItem(_Event):
    """Add pictures or a question."""

    type: Literal["conversation.item.create"]
    item: Item


class DeleteItem(_Event):
    """Forget a turn; pictures stay remembered."""

    type: Literal["conversation.item.delete"]
    item_id: str


class RetrieveItem(_Event):
    """Ask for a turn."""

    type: Literal["conversation.item.retrieve"]
    item_id: str


class CreateResponse(_Event):
    """Ask for an answer."""

    type: Literal["response.create"]
    response: ResponseOptions = ResponseOptions()


class CancelResponse(_Event):
    """Give up an answer."""

    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = Annotated[
    UpdateSession | CreateItem | DeleteItem | RetrieveItem | CreateResponse | CancelResponse,
    Field(discriminator="type"),
]


def read_event(text: bytes | str) -> ClientEvent:
    """Read what a client sent.

    Raises:
        RefusedError: it is no event, or none that is taken here.
    """
    try:
        event: ClientEvent = TypeAdapter(ClientEvent).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        raise RefusedError(
            400,
            f"{place + ': ' if place else ''}{first['msg']}; accepted are session.update, "
            "conversation.item.create, .delete and .retrieve, response.create and response.cancel",
            code="invalid_event",
            param=place or None,
        ) from error
    return event


def new_id(kind: str) -> str:
    """Return an id for something of a session."""
    return f"{kind}_{secrets.token_hex(10)}"


def server_event(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an event for a client."""
    return {"type": kind, "event_id": new_id("event"), **fields}
