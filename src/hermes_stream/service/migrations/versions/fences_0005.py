"""Watches and incidents are an owner's alone, too: the record refuses what another replica writes of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Whose row it is follows from its stream, whose row is locked until the commit: whoever takes it waits.
# A stream that is gone is being deleted with all its rows; one that is closed is nobody's.
_REFUSE_STRANGERS_ROWS = """
CREATE FUNCTION hermes_refuse_strangers_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    writer text := current_setting('hermes.replica', true);
    stream record;
    given bigint;
BEGIN
    IF TG_OP = 'DELETE' THEN given := OLD.stream_id; ELSE given := NEW.stream_id; END IF;
    IF writer IS NOT NULL AND writer <> '' AND given IS NOT NULL THEN
        SELECT replica_id, state INTO stream FROM streams WHERE id = given FOR SHARE;
        IF FOUND AND stream.replica_id IS DISTINCT FROM writer::bigint
            AND NOT (stream.replica_id IS NULL AND stream.state <> 'open') THEN
            RAISE EXCEPTION 'stream % belongs to replica %, not to %', given, stream.replica_id, writer
                USING ERRCODE = 'HF001';
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Note the epoch of what was written last; in Postgres guard it."""
    for table in ("watches", "incidents"):
        op.add_column(table, sa.Column("epoch", sa.Integer))
    if op.get_bind().dialect.name == "postgresql":
        _guard()


def _guard() -> None:
    op.execute(_REFUSE_STRANGERS_ROWS)
    for table in ("watches", "incidents"):
        # a change by hand names no epoch, and is not of one
        op.execute(
            f"CREATE TRIGGER refuse_older BEFORE INSERT OR UPDATE OF epoch ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION hermes_refuse_older()"
        )
        # incidents are deleted by age, whosever they are
        events = "INSERT OR UPDATE OR DELETE" if table == "watches" else "INSERT OR UPDATE"
        op.execute(
            f"CREATE TRIGGER refuse_strangers BEFORE {events} ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION hermes_refuse_strangers_rows()"
        )
    # an event without an epoch is told beside the stream's own work, by its owner as well
    op.execute(
        "CREATE TRIGGER refuse_strangers BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.epoch IS NULL) "
        "EXECUTE FUNCTION hermes_refuse_strangers_rows()"
    )
