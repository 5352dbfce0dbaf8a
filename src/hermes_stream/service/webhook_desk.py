"""Webhooks: who is told outside of what watches notice; made, changed, tried, deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from hermes_stream.errors import CapacityError, HermesError, StreamExistsError
from hermes_stream.service.store import Store
from hermes_stream.service.webhook_messages import check_secret, new_secret
from hermes_stream.service.webhook_rows import WebhookRow
from hermes_stream.service.webhook_sending import WebhookSending, check_address
from hermes_stream.service.webhook_try import Attempt
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.policy import SourcePolicy

log = logging.getLogger(__name__)
MAX_WEBHOOKS = 32
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStatus:
    """A webhook as it is now; its secret is told once, when it is made.

    Attributes:
        id: its number.
        url: of the receiver, without what may be a secret.
        kinds: kinds of events that are sent; None sends those of watches.
        streams: names of the streams whose events are sent; None sends all.
        is_on: whether it is sent to.
        sent_event_id: the newest event that it was sent.
        num_sent: messages that arrived since the service began.
        num_failed: tries that did not.
        num_given_up: messages that were given up.
        failure: why the newest try failed; None where it did not.
        created_wall_seconds: when it was made.
    """

    id: int
    url: str
    kinds: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    is_on: bool
    sent_event_id: int
    num_sent: int
    num_failed: int
    num_given_up: int
    failure: str | None
    created_wall_seconds: float


class WebhookDesk:
    """The webhooks of a service. Threads may share it.

    Args:
        store: the record.
        base_url: under which others reach the server, for links.
    """

    def __init__(self, store: Store, *, base_url: str) -> None:
        self._store, self._base_url = store, base_url.rstrip("/")
        self._changing = Lock()
        self._sending: dict[int, WebhookSending] = {}
        for row in store.webhooks.all():
            self._begin(row)

    def add(
        self,
        url: str,
        *,
        secret: str | None = None,
        kinds: Sequence[str] | None = None,
        streams: Sequence[str] | None = None,
        allow: Sequence[str] | None = None,
        private_networks: Sequence[str] = (),
    ) -> tuple[WebhookStatus, str]:
        """Tell a receiver what happens from now on, also after a restart.

        Args:
            url: of the receiver, http or https.
            secret: signs the messages, ``whsec_...``; None makes one.
            kinds: kinds of events; None sends those of watches.
            streams: names of streams; None sends those of all.
            allow: patterns that the address must match, now and later; None trusts it.
            private_networks: networks that it may lie in, though private; see ``SourcePolicy``.

        Returns:
            The webhook, and its secret, which is told only now.

        Raises:
            SourceRefusedError: the address is not allowed.
            CapacityError: there are as many as there may be.
            StreamExistsError: that receiver is told already.
            ValueError: a value is not accepted.
        """
        policy = SourcePolicy(
            allow=None if allow is None else tuple(allow), private_networks=tuple(private_networks)
        )
        check_address(url, policy)
        _check_named(kinds=kinds, streams=streams)
        secret = new_secret() if secret is None else check_secret(secret)
        with self._changing:
            known = self._store.webhooks.all()
            if len(known) >= MAX_WEBHOOKS:
                raise CapacityError(f"there are {MAX_WEBHOOKS} webhooks, the most; delete one")
            if any(row.url == url for row in known):
                raise StreamExistsError("that receiver is told already; change its webhook, or delete it")
            row = self._store.webhooks.add(
                url=url,
                secret=secret,
                kinds=None if kinds is None else list(kinds),
                streams=None if streams is None else list(streams),
                allow=None if allow is None else list(allow),
                private_networks=list(private_networks),
            )
            self._begin(row)
        return self._status(row), secret

    def put(self, url: str, *, secret: str | None, kinds: Any, streams: Any) -> None:
        """Let a receiver be told as the settings say: a new one, or the one that is told already."""
        known = next((row for row in self._store.webhooks.all() if row.url == url), None)
        if known is None:
            self.add(url, secret=secret, kinds=kinds, streams=streams)
            return
        self.change(known.id, **({} if secret is None else {"secret": secret}), kinds=kinds, streams=streams)

    def change(self, number: int, **fields: Any) -> WebhookStatus:
        """Change a webhook.

        Args:
            number: of it.
            **fields: secret, kinds, streams, is_on.

        Raises:
            UnknownWebhookError: there is none.
            ValueError: the secret is none, or a list names nothing.
        """
        _check_named(**fields)
        if fields.get("secret") is not None:
            check_secret(fields["secret"])
        fields = {
            name: list(one) if isinstance(one, tuple | list) else one
            for name, one in fields.items()
            if not (name == "secret" and one is None)
        }
        with self._changing:
            before = self._store.webhooks.find(number)
            self._end([number])
            if fields:
                self._store.webhooks.change(number, **fields)
            if fields.get("is_on") and not before.is_on:  # what happened meanwhile is past
                newest = self._store.writer.newest_event_id
                self._store.webhooks.change(number, sent_event_id=newest)
            row = self._store.webhooks.find(number)
            self._begin(row)
            return self._status(row)

    def remove(self, number: int) -> None:
        """Tell a receiver no more.

        Raises:
            UnknownWebhookError: there is none.
        """
        with self._changing:
            self._store.webhooks.remove(number)
            self._end([number])

    def test(self, number: int) -> Attempt:
        """Send a receiver one message of the type ``webhook.test`` now, and return what became of it.

        Raises:
            UnknownWebhookError: there is none.
            OverloadedError: another test of it goes on.
            ValueError: it is switched off.
        """
        self._store.webhooks.find(number)
        sending = self._sending.get(number)
        if sending is None:
            raise ValueError(f"webhook {number} is switched off; switch it on first")
        return sending.test()

    def all(self) -> tuple[WebhookStatus, ...]:
        """Return all webhooks, oldest first."""
        return tuple(map(self._status, self._store.webhooks.all()))

    def find(self, number: int) -> WebhookStatus:
        """Return one webhook.

        Raises:
            UnknownWebhookError: there is none.
        """
        return self._status(self._store.webhooks.find(number))

    def close(self) -> None:
        """Send no more; what was not sent is sent after the next start. Safe to repeat."""
        self._end(tuple(self._sending))

    def _begin(self, row: WebhookRow) -> None:
        if not row.is_on:
            return
        try:
            self._sending[row.id] = WebhookSending(row, self._store, base_url=self._base_url)
        except (HermesError, ValueError) as error:
            log.warning("webhook %d is not told: %s", row.id, error)

    def _end(self, numbers: Iterable[int]) -> None:
        ending = [self._sending.pop(number) for number in numbers if number in self._sending]
        for sending in ending:  # all at once: what hangs waits beside the others, not behind them
            sending.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for sending in ending:
            sending.wait(deadline - time.monotonic())

    def _status(self, row: WebhookRow) -> WebhookStatus:
        sending = self._sending.get(row.id)
        return WebhookStatus(
            id=row.id,
            url=Address.parse(row.url).shown,
            kinds=row.kinds,
            streams=row.streams,
            is_on=row.is_on,
            sent_event_id=row.sent_event_id,
            num_sent=0 if sending is None else sending.num_sent,
            num_failed=0 if sending is None else sending.num_failed,
            num_given_up=0 if sending is None else sending.num_given_up,
            failure=None if sending is None else sending.failure,
            created_wall_seconds=row.created_wall_seconds,
        )


def _check_named(**fields: Any) -> None:
    """Refuse a list that names nothing: some mean nothing by it, others all."""
    for name, all_of_them in (("kinds", "those of watches"), ("streams", "all")):
        if fields.get(name) is not None and not fields[name]:
            raise ValueError(
                f"{name} must name at least one, got none; leave it out or give null for {all_of_them}, and "
                "switch the webhook off to send nothing"
            )
