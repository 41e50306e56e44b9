"""The schema: the tables, its version, and the steps from each version to the next."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from parafree.core.errors import StoreError

METADATA = sa.MetaData()

schema = sa.Table("parafree_schema", METADATA, sa.Column("version", sa.Integer, nullable=False))

studies = sa.Table(
    "parafree_studies",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("spec", sa.Text, nullable=False),  # JSON
    sa.Column("created", sa.Double, nullable=False),  # seconds since 1970
    sqlite_autoincrement=True,  # the number of a deleted study is never given out again
)

# The primary key is what keeps two writers from interleaving: the second one's transaction fails.
# SQLite keeps the rows in its order, so that appending needs no second index.
events = sa.Table(
    "parafree_events",
    METADATA,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # 1, 2, 3, ...
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("trial", sa.BigInteger, nullable=False),
    sa.Column("units", sa.BigInteger, nullable=False),
    sa.Column("loss", sa.Double),
    sa.Column("data", sa.Text),  # JSON
    sqlite_with_rowid=False,
)

# Version 1 added the three tables that know the time of day.
sessions = sa.Table(
    "parafree_sessions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("started", sa.Double, nullable=False),  # seconds since 1970
    sa.Column("ended", sa.Double),  # empty: still running, or killed
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("versions", sa.Text, nullable=False),  # JSON: package -> version
    sa.Column("reason", sa.Text),
    sa.Column("compile_s", sa.Double),
    sa.Column("busy", sa.Double),  # share of the lanes' time that was used, 0 to 1
    sa.Column("overhead_s", sa.Double),
)

clock = sa.Table(
    "parafree_clock",
    METADATA,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),  # the flush's last
    sa.Column("session", sa.Integer, nullable=False),
    sa.Column("elapsed_s", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

spans = sa.Table(
    "parafree_spans",
    METADATA,
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("session", sa.Integer, nullable=False),
    sa.Column("lane", sa.Integer, nullable=False),
    sa.Column("trial", sa.BigInteger, nullable=False),
    sa.Column("begin_s", sa.Double, nullable=False),
    sa.Column("end_s", sa.Double, nullable=False),
    sa.Column("units", sa.BigInteger, nullable=False),
)

OWNED = (events, sessions, clock, spans)  # rows that belong to a study


def _add_clock_tables(connection: sa.Connection) -> None:
    METADATA.create_all(connection, tables=[sessions, clock, spans])


# MIGRATIONS[v] takes a database from version v to v + 1, inside a transaction.
MIGRATIONS: list[Callable[[sa.Connection], None]] = [_add_clock_tables]


def prepare(connection: sa.Connection, where: str) -> None:
    """Make the tables, or bring them to this version, inside the caller's transaction.

    Args:
        connection: a connection inside a transaction that nobody else can write beside.
        where: what to call the database in an error.

    Raises:
        StoreError: the database was written by a newer parafree.
    """
    if not sa.inspect(connection).has_table(schema.name):
        METADATA.create_all(connection)
        connection.execute(schema.insert().values(version=len(MIGRATIONS)))
        return
    version = read_version(connection, where)
    for step in MIGRATIONS[version:]:
        step(connection)
    connection.execute(schema.update().values(version=len(MIGRATIONS)))


def read_version(connection: sa.Connection, where: str) -> int:
    """Return the database's schema version; raise StoreError if it is newer than this program."""
    version = connection.execute(sa.select(schema.c.version)).scalar()
    if version is None:
        raise StoreError(
            "the database does not say which version it has",
            where=where,
            fix="restore a copy, or name another file",
        )
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the database was written by a newer parafree (schema {version}; "
            f"this one knows {len(MIGRATIONS)})",
            where=where,
            fix="upgrade parafree, or name another file",
        )
    return int(version)
