"""Whether settings would do, without opening anything: ``hermes serve --check``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hermes_stream.errors import HermesError
from hermes_stream.filters import choose_filter
from hermes_stream.policies.named import policy_named
from hermes_stream.service.database import database_url
from hermes_stream.service.names import check_stream_name
from hermes_stream.service.remote_snapshots import open_store
from hermes_stream.service.settings import (
    NamedStream,
    ServiceSettings,
    StartSettings,
    StreamSettings,
    WebhookSettings,
)
from hermes_stream.service.watch_settings import WatchSettings
from hermes_stream.service.webhook_messages import check_secret
from hermes_stream.service.webhook_sending import check_address
from hermes_stream.video.sources.options import SourceOptions
from hermes_stream.video.sources.policy import SourcePolicy


def check_settings(service: ServiceSettings, start: StartSettings) -> tuple[str, ...]:
    """Return what is wrong with settings beyond single values, in words; nothing where all is well.

    Neither model nor sources nor the record are opened.

    Args:
        service: options of the service.
        start: what it is started with.
    """
    faults = [*_of_stream(service, "settings"), *_of_folder(start.data_dir)]
    try:
        database_url(start.data_dir, service.store)
    except HermesError as error:
        faults.append(f"store: {error}")
    if service.snapshots_url is not None:
        try:
            open_store(service.snapshots_url)
        except HermesError as error:
            faults.append(str(error))
    if len(start.streams) > service.max_streams:
        faults.append(f"{len(start.streams)} streams are named, and max_streams is {service.max_streams}")
    for name, stream in start.streams.items():
        faults += _of_named(name, stream)
        faults += _of_watches(f"streams.{name}.watches", (*start.watches, *stream.watches))
    if not start.streams:
        faults += _of_watches("watches", start.watches)
    for webhook in start.webhooks:
        faults += _of_webhook(webhook)
    return tuple(faults)


def _of_watches(place: str, watches: Sequence[WatchSettings]) -> list[str]:
    faults = []
    for index, watch in enumerate(watches):
        try:
            watch.rules()
        except ValueError as error:
            faults.append(f"{place}: {watch.label!r}: {error}")
        if any(one.label == watch.label for one in watches[:index]):
            faults.append(f"{place}: two watches are named {watch.label!r}")
    return faults


def _of_webhook(webhook: WebhookSettings) -> list[str]:
    try:
        check_address(webhook.url, SourcePolicy())
        if webhook.secret is not None:
            check_secret(webhook.secret)
    except ValueError as error:
        return [f"webhooks: {error}"]
    return []


def _of_named(name: str, stream: NamedStream) -> list[str]:
    faults = _of_stream(stream, f"streams.{name}")
    try:
        check_stream_name(name)
    except ValueError as error:
        faults.append(str(error))
    try:
        source_options_of(stream)
    except (ValueError, TypeError) as error:
        faults.append(f"streams.{name}.source_options: {error}")
    return faults


def _of_stream(settings: StreamSettings, place: str) -> list[str]:
    faults = []
    try:
        policy_named(settings.policy).with_budget(settings.budget_tokens, 1)
    except (ValueError, HermesError) as error:
        faults.append(f"{place}: policy: {error}")
    try:
        choose_filter(settings.filter)
    except ValueError as error:
        faults.append(f"{place}: filter: {error}")
    return faults


def _of_folder(folder: Path) -> list[str]:
    existing = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
    if not existing.is_dir():
        return [f"data_dir: {existing} is no folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"data_dir: {existing} cannot be written; give a folder that can"]
    return []


def source_options_of(stream: NamedStream) -> SourceOptions | None:
    """Return how a stream's source is read, as its table says; None where it says nothing.

    Raises:
        ValueError: a value is not accepted, or there is no such option.
        TypeError: a value is of another kind.
    """
    if not stream.source_options:
        return None
    known = {one.name for one in fields(SourceOptions)} - {"goes_on"}
    if unknown := set(stream.source_options) - known:
        raise ValueError(f"no options: {', '.join(sorted(unknown))}; options: {', '.join(sorted(known))}")
    return SourceOptions(**{name: _tuples(value) for name, value in stream.source_options.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
