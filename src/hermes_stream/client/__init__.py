"""A client of a running service, over HTTP: the same words as in Python, sync and async.

::

    from hermes_stream.client import Client

    with Client("http://127.0.0.1:8000") as client:
        client.open_stream("door", source="rtsp://192.168.1.20/stream1")
        print(client.ask("door", "What is at the door?").text)
"""

from hermes_stream.client.ask_options import AskOptions
from hermes_stream.client.asynchronous import AsyncClient
from hermes_stream.client.synchronous import Client
from hermes_stream.client.values import (
    AnswerValue,
    EventValue,
    IncidentValue,
    MomentValue,
    ReceiptValue,
    SnapshotValue,
    StreamValue,
    TrialValue,
    WatchValue,
)

__all__ = [
    "AsyncClient",
    "Client",
    "AskOptions",
    "AnswerValue",
    "EventValue",
    "IncidentValue",
    "MomentValue",
    "ReceiptValue",
    "SnapshotValue",
    "StreamValue",
    "TrialValue",
    "WatchValue",
]
