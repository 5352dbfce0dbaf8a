"""One webhook's messages, each until it arrives: in order, with pauses, in a thread of its own."""

from __future__ import annotations

import json
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable
from functools import cached_property
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

import httpx

from hermes_stream.errors import HermesError, OverloadedError, SourceRefusedError
from hermes_stream.service.events import Event
from hermes_stream.service.store import Store
from hermes_stream.service.watch_events import WATCH_KINDS
from hermes_stream.service.webhook_messages import message_of, signed
from hermes_stream.service.webhook_rows import WebhookRow
from hermes_stream.service.webhook_try import Attempt, WebhookTry
from hermes_stream.video.sources.address import Address
from hermes_stream.video.sources.policy import SourcePolicy

log = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 300.0
_LONGEST_WISH_SECONDS = 3600.0
_GIVE_UP_SECONDS = 24 * 3600.0
_MAX_REFUSALS = 5
_GONE = 410
_BROKEN_OFF = Attempt(status=None, failure="broken off: the webhook was changed, or the service ends")


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
        self._testing, self._changing = Lock(), Lock()
        self._tries: set[WebhookTry] = set()
        self._is_broken_off = False
        self._thread = Thread(target=self._run, name=f"hermes-webhook-{row.id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; safe to repeat, and returns at once."""
        self._stopped.set()

    def wait(self, within_seconds: float) -> None:
        """Wait until what is under way has ended; what has not ended by then is broken off."""
        self._thread.join(max(0.0, within_seconds))
        with self._changing:
            self._is_broken_off = True
            for one in self._tries:
                one.end(_BROKEN_OFF)

    def test(self) -> Attempt:
        """Send one message of the type ``webhook.test`` now, and return what became of it.

        Raises:
            OverloadedError: another test goes on.
        """
        if not self._testing.acquire(blocking=False):
            raise OverloadedError(
                f"another test of webhook {self.row.id} goes on; try again",
                retry_after_seconds=_TIMEOUT_SECONDS,
            )
        try:
            now = time.time()
            content = json.dumps({"type": "webhook.test", "timestamp": now, "data": {}}).encode()
            return self._attempt(f"test_{int(now * 1000)}", content)
        finally:
            self._testing.release()

    def _run(self) -> None:
        after = self.row.sent_event_id
        while not self._stopped.is_set():
            event: Event | None = None
            try:
                for event in self._store.events.follow(
                    after, kinds=self.row.kinds or WATCH_KINDS, stop=self._stopped
                ):
                    if event is not None and not self._tell(event):
                        return
                    after = after if event is None else event.id
                return
            except HermesError as error:
                log.warning("webhook %d waits: %s", self.row.id, error)
            except Exception:  # one event that cannot be told holds up no other
                log.exception("webhook %d goes on behind what cannot be told", self.row.id)
                after = after if event is None else event.id
            self._stopped.wait(_FIRST_PAUSE_SECONDS)

    def _tell(self, event: Event) -> bool:
        """Send one event until it arrives or is given up; False where the webhook is to be left."""
        if self.row.streams is None or event.stream in self.row.streams:
            content = self._content(event)
            attempt = self._try_for_long(f"evt_{event.id}", content, event.wall_seconds)
            if attempt is None:
                return False
            if attempt.status == _GONE:
                log.warning("webhook %d (%s) is gone, and is switched off", self.row.id, self._address.shown)
                self._store.webhooks.advance(self.row.id, event.id, is_on=False)
                return False
            self.num_sent += attempt.has_arrived
            self.num_given_up += not attempt.has_arrived
        self._store.webhooks.advance(self.row.id, event.id)
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

    def _try_for_long(self, message_id: str, content: bytes, wall_seconds: float) -> Attempt | None:
        """Return what became of a message at last; None where the webhook is changed or the service ends."""
        pause, num_refusals = _FIRST_PAUSE_SECONDS, 0
        while not self._stopped.is_set():
            attempt = self._attempt(message_id, content)
            if attempt.has_arrived:
                return attempt
            if self._stopped.is_set():  # whoever comes next tries again
                return None
            if attempt.status == _GONE:
                return attempt
            num_refusals += attempt.is_refused
            if num_refusals >= _MAX_REFUSALS or time.time() - wall_seconds > _GIVE_UP_SECONDS:
                log.warning("webhook %d: %s is given up: %s", self.row.id, message_id, attempt.failure)
                return attempt
            wish = min(attempt.retry_after_seconds or 0.0, _LONGEST_WISH_SECONDS)
            self._stopped.wait(max(pause * random.uniform(0.75, 1.25), wish))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return None

    def _attempt(self, message_id: str, content: bytes) -> Attempt:
        """Try once to send a message."""
        one = WebhookTry(lambda trace: self._post(message_id, content, trace))
        with self._changing:
            if self._is_broken_off:
                return _BROKEN_OFF
            self._tries.add(one)
        attempt = one.outcome(_TIMEOUT_SECONDS)
        with self._changing:
            self._tries.discard(one)
            self.failure = attempt.failure
            self.num_failed += not attempt.has_arrived
        if attempt.failure is not None:
            log.info("webhook %d (%s): %s", self.row.id, self._address.shown, attempt.failure)
        return attempt

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        return httpx.create_ssl_context(trust_env=False)

    def _post(self, message_id: str, content: bytes, trace: Callable[[str, Any], None]) -> Attempt:
        headers = signed(message_id, content, self.row.secret, wall_seconds=time.time())
        url = httpx.URL(self.row.url)
        extensions: dict[str, Any] = {"trace": trace}
        if not self._policy.is_trusting:
            # the number that was checked is the one that is called: a name may resolve to another next time
            number = self._checked_number()
            headers["host"] = self._address.host_and_port
            url = url.copy_with(host=number)
            extensions["sni_hostname"] = self._address.host
        with (
            # the limit of the whole try is the first to end it; these end what connects beyond it
            httpx.Client(
                verify=self._trusted, timeout=_TIMEOUT_SECONDS + 1, follow_redirects=False, trust_env=False
            ) as client,
            client.stream("POST", url, content=content, headers=headers, extensions=extensions) as response,
        ):
            pass  # what a receiver says beside its status is not read
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
