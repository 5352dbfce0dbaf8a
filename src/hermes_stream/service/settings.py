"""Every option of the service, declared once: file, environment, flags and API are made from these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from hermes_stream.service.watch_settings import WatchSettings

Pictures = Literal["remembered", "none"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeastOne = Annotated[int, Field(ge=1)]
# a flag and the environment give texts, which pydantic compares with the number as they are
Bits = Annotated[Literal[8], BeforeValidator(lambda value: 8 if value == "8" else value)]
# neither TOML nor a flag has a None, which is how a limit that has a default is lifted
Off = BeforeValidator(lambda value: None if value == "off" else value)


class StreamSettings(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Options of one stream; those of the service are the defaults of its streams."""

    policy: str = "hermes"
    """What the memory keeps: a policy's name, fields behind it (`window:sink_tokens=4`)."""
    filter: str | None = None
    """What drops visual tokens before they are prefilled: a filter's name."""
    budget_tokens: AtLeastOne | None = None
    """Visual tokens that each layer keeps; the model's own number by default."""
    fps: Positive | None = None
    """Frames sampled per second; the rate that the model was trained with by default."""
    chunk_frames: AtLeastOne = 8
    """Frames that are folded in together: fewer are seen sooner, more take less time. Where it is not given,
    a stream that has watches folds in a second's, if that is less."""
    text_tokens: AtLeastOne | None = None
    """Room for a question and its answer together, in tokens."""
    kv_bits: Bits | None = None
    """8 keeps keys and values in 8 bits."""
    still_below: Positive | None = None
    """Grey levels; frames that changed by less are not encoded again."""


class ServiceSettings(StreamSettings, frozen=True):
    """Options of a service, and what its streams take where they say nothing else."""

    max_streams: AtLeastOne = 256
    """Streams that are open at once, at most."""
    memory_bytes: AtLeastOne | None = None
    """What the memories of all streams may take together; four fifths of what is free by default."""
    streams_per_block: AtLeastOne = 1
    """Streams whose memories lie together, so that a GPU makes their answers at once: 8 answers in 0.3 of the
    time. Room for so many is reserved when the first comes, if there is so much."""
    max_questions: AtLeastOne = 64
    """Questions that wait or are being answered, at most."""
    max_questions_per_stream: AtLeastOne = 8
    """The same of one stream."""
    max_question_characters: AtLeastOne = 4000
    """Length of a question with its options, at most."""
    max_watches: AtLeastOne = 1024
    """Standing questions of all streams together, at most; a stream has at most 64."""
    max_new_tokens: AtLeastOne = 256
    """Tokens of an answer, at most, also where more are asked for."""
    step_seconds: Positive = 0.1
    """How long the engine may work on frames before it looks for questions; measured, not exact."""
    ring_frames: AtLeastOne = 16
    """Frames of a stream that wait for the engine, at most; newer ones push older ones out."""
    ring_bytes: AtLeastOne = 64 * 1024 * 1024
    """What they may take in host memory, at most."""
    ring_seconds: Positive = 10.0
    """From the oldest of them to the newest, at most; a live frame that waits longer is dropped."""
    silence_seconds: Positive = 10.0
    """A pause between frames that is told as a gap."""
    snapshot_every_seconds: Positive = 300.0
    """How often a running stream's memory is saved whole; what came since is in the journal."""
    journal: bool = True
    """Keep what came since the last snapshot, so that nothing is lost when the program is killed."""
    pictures: Pictures = "remembered"
    """Keep a small picture of every moment that a memory still holds, to show as evidence."""
    picture_pixels: AtLeastOne = 640 * 360
    """Size of such a picture, at most."""
    keep_days: Annotated[Positive | None, Off] = 30.0
    """Events, questions and pictures older than this are deleted; `off` deletes none for their age."""
    keep_bytes: Annotated[AtLeastOne | None, Off] = 20 * 1024**3
    """What record, pictures and snapshots may take on disk, the oldest deleted first; `off` is no limit."""
    keep_snapshots: AtLeastOne = 3
    """Snapshots of a stream that are kept, the newest."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = None
    """Address under which others reach the server, for links to pictures in what is told outside."""
    mqtt: str | None = None
    """Address of an MQTT broker that is told: mqtt://user:password@host:1883, or mqtts://..."""
    mqtt_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] = "hermes"
    """Before all topics; services that share a broker have one each."""
    mqtt_discovery: Annotated[str, Field(pattern=r"^[A-Za-z0-9_/-]{1,80}$")] = "homeassistant"
    """Under which Home Assistant looks for devices."""
    snapshots_url: str | None = None
    """Folder of an object store that keeps the newest snapshots too, such as s3://bucket/folder."""
    send_journal_every_seconds: Positive = 2.0
    """How often a replica sends what its journals append to `snapshots_url`: what a death may lose."""
    store: str | None = None
    """Address of a Postgres database for the record; SQLite in the data folder by default."""


class NamedStream(StreamSettings, frozen=True):
    """A stream in a settings file, `[streams.NAME]`; what it leaves out is as the file says for all."""

    source: str | None = None
    """Address of the source; without one, frames are pushed."""
    replace_source: bool = False
    """Go on with the memory that the stream has of another source, which is refused otherwise."""
    source_options: dict[str, Any] = {}
    """How the source is read, by fields of `SourceOptions`: pace, transport, crop, privacy_mask, ..."""
    watches: tuple[WatchSettings, ...] = ()
    """Its standing questions, `[[streams.NAME.watches]]`."""


class WebhookSettings(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """Who is told what happens: `[[webhooks]]` in a settings file."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    """Of the receiver, http or https."""
    secret: str | None = None
    """Signs the messages: `whsec_` and base64. Without one it is made, and shown by nobody: give one here."""
    kinds: tuple[str, ...] | None = None
    """Kinds of events; those of watches by default."""
    streams: tuple[str, ...] | None = None
    """Names of streams; all by default."""


class StartSettings(BaseModel, frozen=True, extra="forbid", use_attribute_docstrings=True):
    """What a service is started with."""

    model: str = "tiny"
    """Folder or hub name of a checkpoint."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads of the processor that compute; torch's choice by default. Many small streams want one."""
    data_dir: Path = Path("hermes-data")
    """Folder of record, pictures, snapshots and journals."""
    streams: dict[str, NamedStream] = {}
    """Streams that are opened at the start, by name."""
    watches: tuple[WatchSettings, ...] = ()
    """Standing questions of each of these streams, `[[watches]]`, beside its own."""
    webhooks: tuple[WebhookSettings, ...] = ()
    """Who is told what happens, `[[webhooks]]`."""
