"""How the tables came to be, step by step; applied when a record is opened.

A step is a module in ``versions`` with ``revision``, ``down_revision`` and ``upgrade``, written by hand; a
test compares what all of them make with ``tables``. On SQLite a table is rebuilt with
``op.batch_alter_table``, which must be given ``table_kwargs={"sqlite_autoincrement": True}``: without, ids
of deleted rows come again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from hermes_stream.errors import StoreError


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to a revision, in the connection's transaction.

    Args:
        connection: of the record.
        revision: which; "head" is the newest.

    Raises:
        StoreError: the record is of a newer version of this package.
    """
    options, steps = _steps()

    def steps_from(current: Any, _: Any) -> Any:
        return steps._upgrade_revs(revision, current)

    with EnvironmentContext(options, steps, fn=steps_from, destination_rev=revision) as environment:
        environment.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
        try:
            environment.run_migrations()
        except CommandError as error:
            raise StoreError(
                f"the record was written by a newer version of hermes-stream ({error}); install that "
                "version, or give another data folder"
            ) from error


def is_newest(connection: Connection) -> bool:
    """Tell whether the tables are at the newest revision."""
    return MigrationContext.configure(connection).get_current_revision() == _steps()[1].get_current_head()


def _steps() -> tuple[Config, ScriptDirectory]:
    options = Config()
    options.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return options, ScriptDirectory.from_config(options)
