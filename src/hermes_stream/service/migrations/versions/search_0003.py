"""Events are searched by words: their text in a column, and an index of it that the database keeps."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_PAGE = 1000
# Postgres would read 0.5, door-2 and a/b as one word each
_WORDS = "to_tsvector('simple', translate(text, '.,:;/\\@-_+*#''\"()[]{}<>|&!?=~$%^`', repeat(' ', 40)))"
_SQLITE = (
    """CREATE VIRTUAL TABLE event_words USING fts5(
        text, content='events', content_rowid='id', tokenize="unicode61 remove_diacritics 0")""",
    """CREATE TRIGGER event_words_added AFTER INSERT ON events BEGIN
        INSERT INTO event_words(rowid, text) VALUES (new.id, new.text); END""",
    """CREATE TRIGGER event_words_removed AFTER DELETE ON events BEGIN
        INSERT INTO event_words(event_words, rowid, text) VALUES ('delete', old.id, old.text); END""",
    """CREATE TRIGGER event_words_changed AFTER UPDATE OF text ON events BEGIN
        INSERT INTO event_words(event_words, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO event_words(rowid, text) VALUES (new.id, new.text); END""",
    "INSERT INTO event_words(event_words) VALUES ('rebuild')",
)


def upgrade() -> None:
    """Add the text of events, fill it for those that there are, and index it."""
    op.add_column("events", sa.Column("text", sa.Text, nullable=False, server_default=""))
    op.add_column("questions", sa.Column("guess", sa.Text))
    connection = op.get_bind()
    _fill(connection)
    if connection.dialect.name == "sqlite":
        for statement in _SQLITE:
            op.execute(sa.text(statement))
    else:
        op.execute(sa.text(f"CREATE INDEX event_words ON events USING gin ({_WORDS})"))


def _fill(connection: Any) -> None:
    events = sa.table("events", sa.column("id"), sa.column("payload", sa.Text), sa.column("text"))
    newest = 0
    while True:
        chosen = sa.select(events.c.id, sa.cast(events.c.payload, sa.Text)).where(events.c.id > newest)
        page = connection.execute(chosen.order_by(events.c.id).limit(_PAGE)).all()
        if not page:
            return
        newest = page[-1][0]
        found = [(number, _text_of(json.loads(payload))) for number, payload in page]
        changes = [{"number": number, "words": text} for number, text in found if text]
        if changes:
            change = sa.update(events).where(events.c.id == sa.bindparam("number"))
            connection.execute(change.values(text=sa.bindparam("words")), changes)


def _text_of(payload: dict[str, Any]) -> str:
    names = ("name", "question", "answer", "value", "text", "description", "summary", "reason", "guess")
    text = "\n".join(str(payload[name]) for name in names if payload.get(name) not in (None, ""))
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
