"""Several services on one record: who they are, whose each stream is, and what the record itself refuses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# What a stream's owner writes carries the stream's epoch. FOR SHARE waits for whoever is taking the stream,
# and lets whoever takes it wait: of two owners' writes none is committed behind the other's taking.
_REFUSE_OLDER = """
CREATE FUNCTION hermes_refuse_older() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE newest integer;
BEGIN
    IF NEW.stream_id IS NULL OR NEW.epoch IS NULL THEN RETURN NEW; END IF;
    SELECT epoch INTO newest FROM streams WHERE id = NEW.stream_id FOR SHARE;
    IF newest > NEW.epoch THEN
        RAISE EXCEPTION 'epoch % of stream % is over, it is %', NEW.epoch, NEW.stream_id, newest
            USING ERRCODE = 'HF001';
    END IF;
    RETURN NEW;
END $$
"""
# A replica names itself in each transaction (hermes.replica); who does not is an administrator, or alone.
_REFUSE_STRANGERS = """
CREATE FUNCTION hermes_refuse_strangers() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE writer text := current_setting('hermes.replica', true);
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'epoch of stream % cannot go back from % to %', OLD.id, OLD.epoch, NEW.epoch
            USING ERRCODE = 'HF001';
    END IF;
    IF writer IS NULL OR writer = '' OR OLD.replica_id = writer::bigint
        OR (OLD.replica_id IS NULL AND OLD.state <> 'open') THEN
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.replica_id = writer::bigint AND NEW.epoch > OLD.epoch THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'stream % belongs to replica %, not to %', OLD.id, OLD.replica_id, writer
        USING ERRCODE = 'HF001';
END $$
"""
_WRITTEN_BY_OWNERS = ("events", "questions", "snapshots")


def upgrade() -> None:
    """Make the table and the columns; in Postgres the guards, too."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "replicas",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("num_streams", sa.Integer, nullable=False),
        sa.Column("more_streams", sa.Integer, nullable=False),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.Column("joined_wall_seconds", sa.Double, nullable=False),
        sa.Column("seen_wall_seconds", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("streams", sa.Column("replica_id", number))
    op.add_column("streams", sa.Column("wanted_replica", sa.Text))
    op.create_index("streams_of_replica", "streams", ["replica_id"])
    if op.get_bind().dialect.name == "postgresql":
        _guard()


def _guard() -> None:
    op.execute(_REFUSE_OLDER)
    op.execute(_REFUSE_STRANGERS)
    for table in _WRITTEN_BY_OWNERS:
        op.execute(
            f"CREATE TRIGGER refuse_older BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION hermes_refuse_older()"
        )
    op.execute(
        "CREATE TRIGGER refuse_strangers BEFORE UPDATE OR DELETE ON streams "
        "FOR EACH ROW EXECUTE FUNCTION hermes_refuse_strangers()"
    )
