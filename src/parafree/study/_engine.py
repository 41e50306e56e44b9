"""Engines: open a database without harming what is there, and say clearly why one cannot be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

from parafree.core.errors import StoreError
from parafree.study import _schema

BUSY_S = 10.0  # how long to wait for another program that holds the database
_PREPARING = 0x706631  # the number of the lock for making tables on a server
_MAGIC = b"SQLite format 3\x00"
_OTHER = "name another file with --store or PARAFREE_STORE"


class Database:
    """An open database of studies: transactions, and errors that say what to do.

    Args:
        engine: the SQLAlchemy engine.
        path: the SQLite file; ``None`` for a server.
        where: what to call it in a message; never holds a password.
    """

    def __init__(self, engine: sa.Engine, path: Path | None, where: str) -> None:
        self.engine = engine
        self.path = path
        self.where = where

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Run a block against one snapshot."""
        with self.explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Run a block as one transaction: all of it is kept, or none."""
        with (
            self.explained(),
            self.engine.connect() as connection,
            connection.execution_options(parafree_write=True).begin(),
        ):
            yield connection

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a database's error into a StoreError; leave broken keys to the caller."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DBAPIError as error:
            raise explain(error.orig or error, self.where, self.path) from error
        except self.engine.dialect.loaded_dbapi.Error as error:  # rows taken from the driver itself
            raise explain(error, self.where, self.path) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(target: str | os.PathLike[str], create: bool) -> Database:
    """Open, make or migrate the database at a path or URL.

    Raises:
        StoreError: it is missing, foreign, damaged, locked, newer, or cannot be written.
    """
    text = os.fspath(target)
    url = _parse(text) if "://" in text else None
    if url is None or url.get_backend_name() == "sqlite":
        file = (url.database or "") if url else text
        if file in ("", ":memory:"):
            raise StoreError(
                "a study in memory would be lost with the process",
                where=text or "the store's path",
                fix="name a file; one in /dev/shm is as fast",
            )
        database = _open_file(Path(file), create)
    else:
        database = _open_server(url)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: Database) -> None:
    with database.read() as connection:
        current = sa.inspect(connection).has_table(_schema.schema.name) and _schema.read_version(
            connection, database.where
        ) == len(_schema.MIGRATIONS)
    if not current:
        with database.write() as connection:
            if database.path is None:  # SQLite's writers wait for each other anyway
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
            _schema.prepare(connection, database.where)
    if database.path and not _is_wal(database.path):
        # Outside a transaction, and only once the file is known to be ours.
        with database.explained(), database.engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA journal_mode=WAL")


def _parse(text: str) -> sa.URL:
    try:
        return sa.make_url(text)
    except sa.exc.ArgumentError:
        raise StoreError(
            "this is no database URL",
            where=text,
            fix="write a path, or postgresql://user@host/database",
        ) from None


def _open_file(path: Path, create: bool) -> Database:
    path = path.absolute()
    where = str(path)
    _check_file(path, where, create)
    if path.exists() and path.stat().st_size:
        _check_ours(path, where)
    return Database(_sqlite_engine(where, _reading_mode(path, where, create)), path, where)


def _reading_mode(path: Path, where: str, create: bool) -> str:
    """Return how SQLite must open the file: "" to read and write, "immutable=1" to look only."""
    barred = [str(each) for each in (path, path.parent) if each.exists() and not _can_write(each)]
    if not barred:
        return ""
    log = path.with_name(path.name + "-wal")
    # Without a log the file holds everything, and nobody who may not write can change it.
    if create or (log.exists() and log.stat().st_size):
        raise _read_only(barred[0])
    return "immutable=1"


def _can_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _sqlite_engine(where: str, mode: str = "") -> sa.Engine:
    """Make an engine for a file; ``mode`` is one of SQLite's own URI settings, or empty."""
    url = sa.URL.create("sqlite", database=where)
    if mode:
        url = url.set(database="file:" + quote(where), query={"uri": "true"})
        url = url.update_query_string(mode)
    engine = sa.create_engine(url)
    _set_up_sqlite(engine)
    return engine


def _check_file(path: Path, where: str, create: bool) -> None:
    if path.is_dir():
        raise StoreError("this is a folder, not a database", where=where, fix=_OTHER)
    if not path.exists():
        if not create:
            raise StoreError(
                "there is no database of studies here",
                where=where,
                fix="start a study with parafree tune, or " + _OTHER,
            )
        if not path.parent.is_dir():
            raise StoreError(
                "the folder for the database does not exist",
                where=str(path.parent),
                fix="make it, or " + _OTHER,
            )
    elif not path.is_file():
        raise StoreError("this is not an ordinary file", where=where, fix=_OTHER)
    if path.exists():
        try:
            with path.open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError as error:
            raise StoreError(
                f"this file cannot be read: {error.strerror}", where=where, fix=_OTHER
            ) from None
        if head and head != _MAGIC:
            raise StoreError(
                "this file is not a database; it was left as it is", where=where, fix=_OTHER
            )


def _check_ours(path: Path, where: str) -> None:
    """Refuse a database without our tables, reading it in a way that cannot change it."""
    database = Database(
        _sqlite_engine(where, _reading_mode(path, where, False) or "mode=ro"), path, where
    )
    try:
        with database.read() as connection:
            names = sa.inspect(connection).get_table_names()
    finally:
        database.close()
    if names and _schema.schema.name not in names:
        raise StoreError(
            f"this database belongs to another program (tables: {', '.join(names[:3])}); "
            "it was left as it is",
            where=where,
            fix=_OTHER,
        )


def _is_wal(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02"


def _set_up_sqlite(engine: sa.Engine) -> None:
    busy_ms = int(BUSY_S * 1000)

    @event.listens_for(engine, "connect")
    def connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # transactions begin where we say so, below
        # Waiting comes first: the other settings may already meet a locked file.
        raw.execute(f"PRAGMA busy_timeout={busy_ms}")
        # With a write-ahead log this survives the death of the process at any moment; a power cut
        # can take the last few transactions, whole ones only.
        raw.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer takes its lock at once, so that it waits its turn instead of failing half-way.
        writes = connection.get_execution_options().get("parafree_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _open_server(url: sa.URL) -> Database:
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() != "postgresql":
        raise StoreError(
            f"{url.get_backend_name()} is not a database that parafree knows",
            where=where,
            fix="use a path (SQLite) or postgresql://user@host/database",
        )
    try:
        engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ImportError:
        raise StoreError(
            "PostgreSQL needs the package psycopg, which is not installed",
            where=where,
            fix='pip install "psycopg[binary]"',
        ) from None
    return Database(engine, None, where)


def explain(error: BaseException, where: str, path: Path | None) -> StoreError:
    """Turn a driver's error into one that says what is wrong, where, and what to do."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = (str(error).strip() or repr(error)).splitlines()[0]
    if path is not None:
        free = _free_bytes(path)
        if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and free < 1 << 20):
            return StoreError(
                f"the disk is full ({free / 2**20:.1f} MiB free); nothing that was reported "
                "before this is lost",
                where=str(path.parent),
                fix="free some space and run the same command again; it goes on where it stopped",
            )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            f"another program has kept the database locked for {BUSY_S:g} s",
            where=where,
            fix="close it (a database browser, a copy, a backup), then run this again",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "malformed" in text:
        return StoreError(
            "the database is damaged or cut short; it was left as it is",
            where=where,
            fix="restore a copy, or save what can be read with: sqlite3 FILE .recover; or "
            + _OTHER,
        )
    if name.startswith("SQLITE_READONLY"):
        return _read_only(where)
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreError(f"the database cannot be opened: {text}", where=where, fix=_OTHER)
    return StoreError(
        f"the database failed: {text}",
        where=where,
        fix="check that it can be reached and has space, then run this again",
    )


def _read_only(where: str) -> StoreError:
    return StoreError(
        "this cannot be written", where=where, fix="change its permissions, or " + _OTHER
    )


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 0
