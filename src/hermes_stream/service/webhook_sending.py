"""One webhook's messages, each until it arrives: in order, with pauses, in a thread of its own."""

from __future__ import annotations

import logging
import random
import socket
import time
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread

import httpx

from hermes_stream.errors import HermesError, SourceRefusedError
from hermes_stream.service.events import Event
from hermes_stream.service.store import Store
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.service.webhook_messages import message_of, signed
from hermes_stream.service.webhook_rows import WebhookRow
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.policy import SourcePolicy

log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 300.0
_LONGEST_WISH_SECONDS = 3600.0
_GIVE_UP_SECONDS = 24 * 3600.0
_MAX_REFUSALS = 5
_TRY_LATER = frozenset({408, 425, 429})
_GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of one try.

    Attributes:
        status: of HTTP; None where nothing answered.
        failure: what went wrong, without secrets; None where it arrived.
        retry_after_seconds: when the receiver wants to be asked again.
    """

    status: int | None
    failure: str | None
    retry_after_seconds: float | None = None

    @property
    def has_arrived(self) -> bool:
        """Whether the receiver has it."""
        return self.failure is None

    @property
    def is_refused(self) -> bool:
        """Whether the receiver will never take it."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _TRY_LATER


def check_address(url: str, policy: SourcePolicy) -> Address:
    """Return the address of a receiver.

    Raises:
        ValueError: it is none, or holds a user name.
        SourceRefusedError: the policy does not allow it.
    """
    address = Address.parse(url)
    if address.scheme not in ("http", "https") or address.kind != "network":
        raise ValueError(f"a webhook is told at http:// or https://, got {address.shown}")
    if address.user is not None or address.password is not None:
        raise ValueError(
            f"the address of a webhook has no user name and password ({address.shown}): its messages are "
            "signed instead"
        )
    try:
        policy.check(address)
    except SourceRefusedError as error:
        raise SourceRefusedError(
            f"{address.shown} may not be told; an administrator can allow it by a pattern in allow_webhooks"
        ) from error
    return address


class WebhookSending:
    """Follows the record from where the webhook stands, and sends; it begins when it is made.

    A message that does not arrive is tried again, at first after a second, then after ever longer pauses, for
    a day. How far the webhook is lasts, so that a restart leaves nothing out; what was sent just before may
    come twice, under the same id.

    Args:
        row: of the webhook.
        store: the record.
        base_url: what comes before the paths of pictures.

    Attributes:
        row: of the webhook.
        num_sent: messages that arrived.
        num_failed: tries that did not.
        num_given_up: messages that were given up.
        failure: why the newest try failed; None where it did not.
    """

    def __init__(self, row: WebhookRow, store: Store, *, base_url: str) -> None:
        self.row, self._store, self._base_url = row, store, base_url
        self.num_sent = self.num_failed = self.num_given_up = 0
        self.failure: str | None = None
        self._policy = SourcePolicy(allow=row.allow, private_networks=row.private_networks)
        self._address = check_address(row.url, self._policy)
        self._stopped = Flag()
        self._thread = Thread(target=self._run, name=f"hermes-webhook-{row.id}", daemon=True)
        self._thread.start()

    def stop(self, within_seconds: float) -> None:
        """Send no more; safe to repeat."""
        self._stopped.set()
        self._thread.join(within_seconds)

    def _run(self) -> None:
        after = self.row.sent_event_id
        with httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
            while not self._stopped.is_set():
                try:
                    for event in self._store.events.follow(
                        after, kinds=self.row.kinds or WATCH_KINDS, stop=self._stopped
                    ):
                        if event is not None and not self._tell(client, event):
                            return
                        after = after if event is None else event.id
                    return
                except HermesError as error:
                    log.warning("webhook %d waits: %s", self.row.id, error)
                    self._stopped.wait(_FIRST_PAUSE_SECONDS)

    def _tell(self, client: httpx.Client, event: Event) -> bool:
        """Send one event until it arrives or is given up; False where the webhook is to be left."""
        if self.row.streams is None or event.stream in self.row.streams:
            content = self._content(event)
            attempt = self._try_for_long(client, f"evt_{event.id}", content, event.wall_seconds)
            if attempt is None:
                return False
            if attempt.status == _GONE:
                log.warning("webhook %d (%s) is gone, and is switched off", self.row.id, self._address.shown)
                self._store.webhooks.change(self.row.id, is_on=False, sent_event_id=event.id)
                return False
            self.num_sent += attempt.has_arrived
            self.num_given_up += not attempt.has_arrived
        self._store.webhooks.change(self.row.id, sent_event_id=event.id)
        return not self._stopped.is_set()

    def _content(self, event: Event) -> bytes:
        incident_id = event.payload.get("incident")
        incident = None
        if isinstance(incident_id, str):
            try:
                incident = self._store.incidents.find(incident_id)
            except HermesError:  # deleted meanwhile: the event says enough
                incident = None
        return message_of(event, incident, base_url=self._base_url)

    def _try_for_long(
        self, client: httpx.Client, message_id: str, content: bytes, wall_seconds: float
    ) -> Attempt | None:
        """Return what became of a message at last; None where the service ends first."""
        pause, num_refusals = _FIRST_PAUSE_SECONDS, 0
        while not self._stopped.is_set():
            attempt = self.attempt(client, message_id, content)
            if attempt.has_arrived or attempt.status == _GONE:
                return attempt
            num_refusals += attempt.is_refused
            if num_refusals >= _MAX_REFUSALS or time.time() - wall_seconds > _GIVE_UP_SECONDS:
                log.warning("webhook %d: %s is given up: %s", self.row.id, message_id, attempt.failure)
                return attempt
            wish = min(attempt.retry_after_seconds or 0.0, _LONGEST_WISH_SECONDS)
            self._stopped.wait(max(pause * random.uniform(0.75, 1.25), wish))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return None

    def attempt(self, client: httpx.Client, message_id: str, content: bytes) -> Attempt:
        """Try once to send a message."""
        try:
            attempt = self._post(client, message_id, content)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, HermesError) as error:
            reason = str(error) if isinstance(error, HermesError) else type(error).__name__
            attempt = Attempt(status=None, failure=reason)
        self.failure = attempt.failure
        self.num_failed += not attempt.has_arrived
        if attempt.failure is not None:
            log.info("webhook %d (%s): %s", self.row.id, self._address.shown, attempt.failure)
        return attempt

    def _post(self, client: httpx.Client, message_id: str, content: bytes) -> Attempt:
        headers = signed(message_id, content, self.row.secret, wall_seconds=time.time())
        url, extensions = httpx.URL(self.row.url), {}
        if not self._policy.is_trusting:
            # the number that was checked is the one that is called: a name may resolve to another next time
            number = self._checked_number()
            headers["host"] = self._address.host_and_port
            url, extensions = url.copy_with(host=number), {"sni_hostname": self._address.host}
        request = client.build_request("POST", url, content=content, headers=headers, extensions=extensions)
        response = client.send(request, stream=True)  # what a receiver says beside its status is not read
        response.close()
        if response.is_success:
            return Attempt(status=response.status_code, failure=None)
        wish = response.headers.get("retry-after", "")
        return Attempt(
            status=response.status_code,
            failure=f"the receiver answered {response.status_code}",
            retry_after_seconds=float(wish) if wish.isascii() and wish.isdigit() else None,
        )

    def _checked_number(self) -> str:
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        for *_, place in found:
            self._policy.check_reached(self._address, str(place[0]))
        return str(found[0][4][0])
