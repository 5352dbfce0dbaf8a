"""The tables of the record, as they are now; ``migrations`` says how they came to be."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

# SQLite counts by itself in columns of the type INTEGER alone.
Number = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

streams = Table(
    "streams",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("folder", Text, nullable=False),
    Column("state", Text, nullable=False),  # open, closed, deleting
    Column("source", Text),
    Column("opens_again", Boolean, nullable=False),
    Column("has_ended", Boolean, nullable=False),
    Column("options", JSON, nullable=False),
    Column("owner", Number),
    Column("epoch", Integer, nullable=False),
    Column("zero_wall_seconds", Double),
    Column("created_wall_seconds", Double, nullable=False),
    Column("replica_id", Number),  # who has it, where several services share the record
    Column("wanted_replica", Text),  # name of the one that is to have it
    Index("streams_of_replica", "replica_id"),
    sqlite_autoincrement=True,
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("address", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),  # live, draining
    Column("num_streams", Integer, nullable=False),
    Column("more_streams", Integer, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("joined_wall_seconds", Double, nullable=False),
    Column("seen_wall_seconds", Double, nullable=False),
    sqlite_autoincrement=True,
)

events = Table(
    "events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("stream_id", Number, ForeignKey("streams.id", ondelete="CASCADE")),
    Column("epoch", Integer),
    Column("pts_seconds", Double),
    Column("wall_seconds", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("picture", Text),
    Column("text", Text, nullable=False, server_default=""),  # what it is found by; indexed in migrations
    Index("events_of_stream", "stream_id", "id"),
    Index("events_by_time", "wall_seconds"),
    sqlite_autoincrement=True,  # without it the id of a deleted event would be given again
)

questions = Table(
    "questions",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("stream_id", Number, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("answer_id", Text, nullable=False, unique=True),
    Column("asked_wall_seconds", Double, nullable=False),
    Column("pts_seconds", Double),
    Column("question", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("remembered", Boolean, nullable=False),
    Column("answer", Text, nullable=False),
    Column("option_index", Integer),
    Column("finish_reason", Text, nullable=False),
    Column("failure", Text),
    Column("num_tokens", Integer, nullable=False),
    Column("ttft_seconds", Double),
    Column("ttft_with_pending_seconds", Double),
    Column("confidence", Double),
    Column("evidence", JSON, nullable=False),
    Column("guess", Text),
    Index("questions_of_stream", "stream_id", "id"),
    Index("questions_by_time", "asked_wall_seconds"),
    sqlite_autoincrement=True,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("stream_id", Number, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("path", Text, nullable=False, unique=True),
    Column("is_kept", Boolean, nullable=False),
    Column("pts_seconds", Double),
    Column("num_frames", BigInteger, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("created_wall_seconds", Double, nullable=False),
    Index("snapshots_of_stream", "stream_id", "id"),
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("label", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("max_streams", Integer),
    Column("max_questions", Integer),
    Column("created_wall_seconds", Double, nullable=False),
    Column("revoked_wall_seconds", Double),
    sqlite_autoincrement=True,
)

watches = Table(
    "watches",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("stream_id", Number, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("state", JSON),
    Column("epoch", Integer),  # of the stream, when the state was written
    Column("created_wall_seconds", Double, nullable=False),
    UniqueConstraint("stream_id", "name", name="one_watch_of_a_name"),
    sqlite_autoincrement=True,
)

incidents = Table(
    "incidents",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("stream_id", Number, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("watch_id", Number, nullable=False),  # the watch may be gone, and its incidents stay
    Column("name", Text, nullable=False),
    Column("question", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("status", Text, nullable=False),  # open, ended
    Column("started_seconds", Double, nullable=False),
    Column("ended_seconds", Double),
    Column("started_wall_seconds", Double, nullable=False),
    Column("ended_wall_seconds", Double),
    Column("score", Double, nullable=False),
    Column("summary", Text),
    Column("pictures", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("num_updates", Integer, nullable=False),
    Column("epoch", Integer),  # of the stream, when it was written last
    Index("incidents_of_stream", "stream_id", "number"),
    Index("incidents_by_time", "started_wall_seconds"),
    sqlite_autoincrement=True,
)

reviews = Table(
    "reviews",
    metadata,
    Column("incident", Number, ForeignKey("incidents.number", ondelete="CASCADE"), nullable=False),
    Column("key_id", Number, nullable=False),  # 0 where no keys are asked for
    Column("reviewed_wall_seconds", Double, nullable=False),
    PrimaryKeyConstraint("incident", "key_id"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("url", Text, nullable=False, unique=True),
    Column("secret", Text, nullable=False),  # signs messages, so that it must be known
    Column("kinds", JSON),
    Column("streams", JSON),
    Column("is_on", Boolean, nullable=False),
    Column("allow", JSON),
    Column("private_networks", JSON, nullable=False),
    Column("sent_event_id", Number, nullable=False),
    Column("created_wall_seconds", Double, nullable=False),
    sqlite_autoincrement=True,
)
