"""Whether an MQTT broker is told of a service: where the settings name one, and the package is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hermes_stream.errors import MissingPackageError
from hermes_stream.service.mqtt_topics import Naming
from hermes_stream.service.service_folder import ServiceFolder
from hermes_stream.service.settings import ServiceSettings
from hermes_stream.service.status import StreamStatus
from hermes_stream.service.store import Store
from hermes_stream.service.watch_desk import WatchDesk

if TYPE_CHECKING:
    from hermes_stream.service.mqtt_bridge import MqttBridge


def bridge_to_broker(
    settings: ServiceSettings,
    *,
    model: str,
    streams: Callable[[], tuple[StreamStatus, ...]],
    watches: WatchDesk,
    store: Store,
    folder: ServiceFolder,
) -> MqttBridge | None:
    """Return what tells the broker, which has begun; None where no broker is named.

    Raises:
        MissingPackageError: the extra is not installed.
        SettingsError: the address is none.
    """
    if settings.mqtt is None:
        return None
    try:
        from hermes_stream.service.mqtt_bridge import MqttBridge
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"a broker is told with the package {error.name!r}; install it with: pip install "
            "'hermes-stream[mqtt]'"
        ) from error
    return MqttBridge(
        settings.mqtt,
        Naming(prefix=settings.mqtt_prefix, discovery=settings.mqtt_discovery),
        model=model,
        streams=streams,
        watches=watches,
        store=store,
        data_dir=folder.path,
        pictures=folder.pictures,
    )
