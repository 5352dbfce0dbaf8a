"""Webhooks: who is told outside of what happens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from hermes_stream.server.bodies import ERRORS, Listing
from hermes_stream.server.state import State, needs
from hermes_stream.service.webhook_desk import WebhookStatus

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], responses=ERRORS, dependencies=needs("admin"))

Number = Annotated[int, Path(ge=1, le=2**63 - 1, description="The webhook's number.")]
Kinds = Annotated[list[Annotated[str, Field(min_length=1, max_length=40)]], Field(max_length=50)]
Streams = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=1000)]
Secret = Annotated[str, Field(min_length=1, max_length=200)]


class NewWebhook(
    BaseModel,
    extra="forbid",
    use_attribute_docstrings=True,
    json_schema_extra={"examples": [{"url": "https://house.example/hook", "kinds": ["alert_raised"]}]},
):
    """Who is to be told."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    """Of the receiver, http or https, as `allow_webhooks` permits."""
    secret: Secret | None = None
    """Signs the messages, `whsec_` and base64; one is made by default."""
    kinds: Kinds | None = None
    """Kinds of events; those of watches by default."""
    streams: Streams | None = None
    """Names of streams; all by default."""


class WebhookChange(BaseModel, extra="forbid", use_attribute_docstrings=True):
    """What is to change."""

    secret: Secret | None = None
    """A new secret."""
    kinds: Kinds | None = None
    """Kinds of events; null for those of watches."""
    streams: Streams | None = None
    """Names of streams; null for all."""
    is_on: bool | None = None
    """Whether it is sent to; what happens while it is off is not sent later."""


class MadeWebhook(BaseModel, use_attribute_docstrings=True):
    """A webhook, with its secret."""

    webhook: WebhookStatus
    secret: str
    """Told only now."""


class AttemptBody(BaseModel, use_attribute_docstrings=True):
    """What became of one message."""

    status: int | None
    """Of HTTP; none where nothing answered."""
    failure: str | None
    """What went wrong; none where it arrived."""


@router.get("")
def list_webhooks(state: State) -> Listing[WebhookStatus]:
    """List webhooks; their secrets are not shown."""
    return Listing(items=list(state.service.webhooks.all()))


@router.post("", status_code=201)
def add_webhook(body: NewWebhook, state: State) -> MadeWebhook:
    """Tell a receiver what happens from now on, in the form of Standard Webhooks."""
    status, secret = state.service.webhooks.add(
        body.url,
        secret=body.secret,
        kinds=body.kinds,
        streams=body.streams,
        allow=state.settings.allow_webhooks,
        private_networks=state.settings.private_networks,
    )
    return MadeWebhook(webhook=status, secret=secret)


@router.get("/{number}")
def show_webhook(number: Number, state: State) -> WebhookStatus:
    """Return one webhook."""
    return state.service.webhooks.find(number)


@router.patch("/{number}")
def change_webhook(number: Number, body: WebhookChange, state: State) -> WebhookStatus:
    """Change a webhook: its secret, what it is told, whether it is on."""
    changes = body.model_dump(exclude_unset=True)
    if changes.get("is_on", True) is None:
        del changes["is_on"]
    return state.service.webhooks.change(number, **changes)


@router.delete("/{number}", status_code=204)
def delete_webhook(number: Number, state: State) -> None:
    """Tell a receiver no more."""
    state.service.webhooks.remove(number)


@router.post("/{number}/test")
def test_webhook(number: Number, state: State) -> AttemptBody:
    """Send a receiver one message of the type `webhook.test` now, one at a time; answers within 10 s."""
    attempt = asdict(state.service.webhooks.test(number))
    return AttemptBody(status=attempt["status"], failure=attempt["failure"])
