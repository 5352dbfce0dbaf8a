"""Tells an MQTT broker how things are and what happens, and takes its commands; in a thread of its own.

A broker that is away is tried again for ever, and holds nobody up. When it is back, or Home Assistant is, all
is published again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import SplitResult, unquote, urlsplit

import aiomqtt

from hermes_stream.errors import HermesError, SettingsError
from hermes_stream.service.events import Event
from hermes_stream.service.mqtt_topics import (
    OFFLINE,
    ON,
    ONLINE,
    Lately,
    Naming,
    Topics,
    event_payload,
    retained,
)
from hermes_stream.service.pictures import read_picture
from hermes_stream.service.status import StreamStatus
from hermes_stream.service.store import Store
from hermes_stream.service.watch_desk import WatchDesk
from hermes_stream.service.watch_events import WATCH_KINDS

log = logging.getLogger(__name__)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_REFRESH_SECONDS = 2.0
_WAIT_SECONDS = 0.5
_OLD_SECONDS = 300.0
_TIMEOUT_SECONDS = 5.0
_STOP_SECONDS = 5.0
_MAX_COMMAND_BYTES = 64
_DELETED = "stream_deleted"


def broker_of(address: str) -> SplitResult:
    """Read the address of a broker.

    Raises:
        SettingsError: it is none; the message shows no password.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port, (parts.hostname or "").encode("idna")  # as a resolver will
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise SettingsError(
            "mqtt must be the address of a broker, mqtt://USER:PASSWORD@HOST:1883 or mqtts://...; characters "
            "such as @ in a password are written as %40"
        )
    return parts


class MqttBridge:
    """Follows a service, and tells a broker.

    Args:
        address: of the broker.
        naming: of topics.
        model: that watches.
        streams: returns how the streams are; not called from the engine's thread.
        watches: takes commands.
        store: the record.
        data_dir: folder of the service, which holds how far events were told.
        pictures: folder of all pictures.

    Attributes:
        is_connected: whether the broker listens.
        num_published: messages that it took.
        num_failed: times that it could not be reached, or was lost.

    Raises:
        SettingsError: the address is none.
    """

    def __init__(
        self,
        address: str,
        naming: Naming,
        *,
        model: str,
        streams: Callable[[], tuple[StreamStatus, ...]],
        watches: WatchDesk,
        store: Store,
        data_dir: Path,
        pictures: Path,
    ) -> None:
        self._broker, self._naming, self._model = broker_of(address), naming, model
        self._streams, self._watches, self._store = streams, watches, store
        self._pictures, self._cursor = pictures, data_dir / "mqtt.sent"
        self._published: Topics = {}
        self._lately: dict[str, Lately] = {}
        self._sent_event_id = self._read_cursor()
        self.is_connected = False
        self.num_published = self.num_failed = 0
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._publishing = asyncio.Lock()  # two at once could leave the older state behind
        self._thread = Thread(target=self._run, name="hermes-mqtt", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye, and end; safe to repeat."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._stay())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _stay(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopped.is_set():
            try:
                async with self._client() as client:
                    self.is_connected, pause = True, _FIRST_PAUSE_SECONDS
                    log.info("the broker at %s listens", self._broker.hostname)
                    await self._serve(client)
            except (aiomqtt.MqttError, OSError, HermesError) as error:
                self.num_failed += 1
                log.warning("the broker at %s: %s; tried again", self._broker.hostname, error)
            except Exception:  # one message that cannot be told ends no bridge
                self.num_failed += 1
                log.exception("the broker at %s is tried again", self._broker.hostname)
            finally:
                self.is_connected, self._published = False, {}
            await self._pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _client(self) -> aiomqtt.Client:
        broker, naming = self._broker, self._naming
        return aiomqtt.Client(
            broker.hostname or "",
            broker.port or _PORTS[broker.scheme],
            username=None if broker.username is None else unquote(broker.username),
            password=None if broker.password is None else unquote(broker.password),
            tls_context=ssl.create_default_context() if broker.scheme == "mqtts" else None,
            will=aiomqtt.Will(naming.availability, OFFLINE, qos=1, retain=True),
            timeout=_TIMEOUT_SECONDS,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Tell and listen until the broker goes or the service ends."""
        commands = f"{self._naming.watch('+', '+')}/+/set"
        await client.subscribe([(commands, 1), (self._naming.birth, 1)])
        tasks = [
            asyncio.ensure_future(one)
            for one in (self._refresh(client), self._follow(client), self._listen(client))
        ]
        stopping = asyncio.ensure_future(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
        if stopping in done:
            await self._publish(client, self._naming.availability, OFFLINE, retain=True)
            return
        for task in done:
            task.result()

    async def _refresh(self, client: aiomqtt.Client) -> None:
        while True:
            await self._publish_all(client)
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _publish_all(self, client: aiomqtt.Client) -> None:
        """Publish what has changed since the broker was told; what is no more is taken back."""
        async with self._publishing:
            topics, told = await asyncio.to_thread(self._retained), self._published
            for topic in [one for one in told if one not in topics]:
                await self._publish(client, topic, b"", retain=True)
                told.pop(topic, None)
            for topic, payload in topics.items():
                if told.get(topic) != payload:
                    await self._publish(client, topic, payload, retain=True)
                    told[topic] = payload

    async def _publish(
        self, client: aiomqtt.Client, topic: str, payload: str | bytes, *, retain: bool = False
    ) -> None:
        await client.publish(topic, payload, qos=1, retain=retain)  # returns when the broker has it
        self.num_published += 1

    def _retained(self) -> Topics:
        streams = tuple(one for one in self._streams() if not one.is_temporary)
        return retained(self._naming, streams, self._watches.all(), self._lately, model=self._model)

    async def _follow(self, client: aiomqtt.Client) -> None:
        """Tell events as they come, each once; those that waited long for the broker are past."""
        while True:
            events = await asyncio.to_thread(self._next_events)
            for event in events:
                if event.kind == _DELETED:  # another stream may get its name
                    self._lately.pop(event.payload["name"], None)
                elif event.stream is not None and time.time() - event.wall_seconds < _OLD_SECONDS:
                    await self._tell(client, event)
                self._sent_event_id = event.id
            if events:
                await self._publish_all(client)
                await asyncio.to_thread(self._write_cursor)

    def _next_events(self) -> tuple[Event, ...]:
        self._store.writer.wait_for_event(self._sent_event_id, _WAIT_SECONDS)
        newest = self._store.writer.newest_event_id
        events = self._store.events.read(self._sent_event_id, kinds=(*WATCH_KINDS, "answered", _DELETED))
        if not events:
            self._sent_event_id = max(self._sent_event_id, newest)
        return events

    async def _tell(self, client: aiomqtt.Client, event: Event) -> None:
        assert event.stream is not None
        before = self._lately.get(event.stream, Lately())
        if event.kind == "answered":
            self._lately[event.stream] = Lately(answer=event.payload, picture=before.picture)
            return
        if event.picture is not None:
            picture = await asyncio.to_thread(self._picture, event.picture)
            self._lately[event.stream] = Lately(answer=before.answer, picture=picture or before.picture)
        await self._publish(client, f"{self._naming.stream(event.stream)}/event", event_payload(event))

    def _picture(self, path: str) -> bytes | None:
        try:
            return read_picture(self._pictures, path)
        except (HermesError, ValueError):
            return None

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = message.topic.value, message.payload
            if not isinstance(payload, bytes) or len(payload) > _MAX_COMMAND_BYTES:
                continue
            text = payload.decode("utf-8", "replace").strip()
            if topic == self._naming.birth:
                if text == ONLINE:
                    self._published = {}
            elif not message.retain:  # a command that was kept is not meant for now
                await asyncio.to_thread(self._obey, topic, text)
            await self._publish_all(client)

    def _obey(self, topic: str, text: str) -> None:
        """Do what a command says; what cannot be done is logged."""
        stream, _, number, what, _ = topic.removeprefix(f"{self._naming.prefix}/streams/").split("/")
        try:
            if what == "on":
                self._watches.change(stream, number, {"is_on": text == ON})
            elif what == "snooze":
                self._watches.snooze(stream, number, 60 * float(text))
        except (HermesError, ValueError) as error:
            log.warning("a command for watch %s of stream %s is not done: %s", number, stream, error)

    def _read_cursor(self) -> int:
        newest = self._store.writer.newest_event_id
        try:
            return min(int(self._cursor.read_text(encoding="ascii")), newest)
        except (OSError, ValueError):
            return newest

    def _write_cursor(self) -> None:
        new = self._cursor.with_suffix(".new")
        try:
            new.write_text(str(self._sent_event_id), encoding="ascii")
            new.replace(self._cursor)
        except OSError as error:
            log.warning("how far the broker was told is not kept: %s", error)
