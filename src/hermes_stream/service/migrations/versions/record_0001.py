"""The record as it began: streams, events, questions, snapshots, keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    _make_streams(number)
    _make_events(number)
    _make_questions(number)
    _make_snapshots(number)
    _make_keys(number)


def _number(number: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column("id", number, primary_key=True, autoincrement=True)


def _stream(number: sa.types.TypeEngine[int], *, nullable: bool) -> sa.Column[int]:
    return sa.Column("stream_id", number, sa.ForeignKey("streams.id", ondelete="CASCADE"), nullable=nullable)


def _make_streams(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "streams",
        _number(number),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("opens_again", sa.Boolean, nullable=False),
        sa.Column("has_ended", sa.Boolean, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("owner", number),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("zero_wall_seconds", sa.Double),
        sa.Column("created_wall_seconds", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )


def _make_events(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "events",
        _number(number),
        _stream(number, nullable=True),
        sa.Column("epoch", sa.Integer),
        sa.Column("pts_seconds", sa.Double),
        sa.Column("wall_seconds", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("picture", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_stream", "events", ["stream_id", "id"])
    op.create_index("events_by_time", "events", ["wall_seconds"])


def _make_questions(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "questions",
        _number(number),
        _stream(number, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("answer_id", sa.Text, nullable=False, unique=True),
        sa.Column("asked_wall_seconds", sa.Double, nullable=False),
        sa.Column("pts_seconds", sa.Double),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("remembered", sa.Boolean, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("option_index", sa.Integer),
        sa.Column("finish_reason", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("num_tokens", sa.Integer, nullable=False),
        sa.Column("ttft_seconds", sa.Double),
        sa.Column("ttft_with_pending_seconds", sa.Double),
        sa.Column("confidence", sa.Double),
        sa.Column("evidence", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("questions_of_stream", "questions", ["stream_id", "id"])
    op.create_index("questions_by_time", "questions", ["asked_wall_seconds"])


def _make_snapshots(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "snapshots",
        _number(number),
        _stream(number, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        sa.Column("is_kept", sa.Boolean, nullable=False),
        sa.Column("pts_seconds", sa.Double),
        sa.Column("num_frames", sa.BigInteger, nullable=False),
        sa.Column("num_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_wall_seconds", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("snapshots_of_stream", "snapshots", ["stream_id", "id"])


def _make_keys(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "keys",
        _number(number),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("max_streams", sa.Integer),
        sa.Column("max_questions", sa.Integer),
        sa.Column("created_wall_seconds", sa.Double, nullable=False),
        sa.Column("revoked_wall_seconds", sa.Double),
        sqlite_autoincrement=True,
    )
