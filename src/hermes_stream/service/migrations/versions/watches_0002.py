"""Standing questions: watches, incidents, who has reviewed them, webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    _make_watches(number)
    _make_incidents(number)
    _make_reviews(number)
    _make_webhooks(number)


def _number(number: sa.types.TypeEngine[int], name: str = "id") -> sa.Column[int]:
    return sa.Column(name, number, primary_key=True, autoincrement=True)


def _stream(number: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column("stream_id", number, sa.ForeignKey("streams.id", ondelete="CASCADE"), nullable=False)


def _make_watches(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "watches",
        _number(number),
        _stream(number),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("state", sa.JSON),
        sa.Column("created_wall_seconds", sa.Double, nullable=False),
        sa.UniqueConstraint("stream_id", "name", name="one_watch_of_a_name"),
        sqlite_autoincrement=True,
    )


def _make_incidents(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "incidents",
        _number(number, "number"),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        _stream(number),
        sa.Column("watch_id", number, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("started_seconds", sa.Double, nullable=False),
        sa.Column("ended_seconds", sa.Double),
        sa.Column("started_wall_seconds", sa.Double, nullable=False),
        sa.Column("ended_wall_seconds", sa.Double),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("pictures", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("num_updates", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("incidents_of_stream", "incidents", ["stream_id", "number"])
    op.create_index("incidents_by_time", "incidents", ["started_wall_seconds"])


def _make_reviews(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "reviews",
        sa.Column("incident", number, sa.ForeignKey("incidents.number", ondelete="CASCADE"), nullable=False),
        sa.Column("key_id", number, nullable=False),
        sa.Column("reviewed_wall_seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("incident", "key_id"),
    )


def _make_webhooks(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "webhooks",
        _number(number),
        sa.Column("url", sa.Text, nullable=False, unique=True),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("kinds", sa.JSON),
        sa.Column("streams", sa.JSON),
        sa.Column("is_on", sa.Boolean, nullable=False),
        sa.Column("allow", sa.JSON),
        sa.Column("private_networks", sa.JSON, nullable=False),
        sa.Column("sent_event_id", number, nullable=False),
        sa.Column("created_wall_seconds", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
