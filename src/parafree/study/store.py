"""The store: one database that keeps the journal of every study, append-only."""

from __future__ import annotations

import difflib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from parafree.core.errors import StudyError
from parafree.study import _paths, _schema
from parafree.study._engine import Database, open_database
from parafree.study.events import Event, check, encode

_CHUNK = 4096  # rows taken from the driver at a time

_TRIAL_UNITS_LOSS_SEQ = np.dtype([("trial", "i8"), ("units", "i8"), ("loss", "f8"), ("seq", "i8")])


class StudyRecord(NamedTuple):
    """A study as the store lists it."""

    id: int
    name: str
    spec: dict[str, Any]
    created: float  # seconds since 1970


class Clock(NamedTuple):
    """When a flush happened: seconds of work since the session began."""

    session: int
    elapsed_s: float


class Span(NamedTuple):
    """One job on one lane, for the time line."""

    session: int
    lane: int
    trial: int
    begin_s: float
    end_s: float
    units: int


class Session(NamedTuple):
    """One run of the program on a study; ``ended`` is ``None`` while it runs, or if killed."""

    id: int
    started: float
    ended: float | None
    host: str
    versions: dict[str, str]
    reason: str | None
    compile_s: float | None
    busy: float | None
    overhead_s: float | None


class Store:
    """The database of studies. Made by :meth:`open`; a context manager that closes it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with Store.open(folder.name + "/parafree.db") as store:
        ...     study = store.create("digits", {"seed": 0})
        ...     _ = store.append(study.id, 1, [Event("start", 0, 9), Event("report", 0, 9, 0.25)])
        ...     [event.kind for event in store.journal(study.id)]
        ['start', 'report']
        >>> folder.cleanup()
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert_event = _Insert(_schema.events, database.engine)
        self._insert_span = _Insert(_schema.spans, database.engine)
        self._insert_clock = _Insert(_schema.clock, database.engine)

    @classmethod
    def open(cls, target: str | os.PathLike[str] | None = None, create: bool = True) -> Store:
        """Open a store, making or migrating its tables as needed.

        Args:
            target: a path, or a ``sqlite:`` or ``postgresql:`` URL; ``None``: $PARAFREE_STORE, or
                ``./parafree.db``.
            create: make the database if it does not exist.

        Returns:
            The open store.

        Raises:
            StoreError: it is missing, foreign, damaged, locked, newer, or cannot be written.
        """
        return cls(open_database(_paths.default_store() if target is None else target, create))

    @property
    def where(self) -> str:
        """The path or URL, without a password."""
        return self._database.where

    @property
    def path(self) -> Path | None:
        """The SQLite file; ``None`` for a server."""
        return self._database.path

    def folder(self, name: str) -> Path:
        """Return the folder for the study's files; it need not exist yet."""
        return _paths.study_folder(self.path, name)

    def studies(self) -> list[StudyRecord]:
        """Return every study, oldest first."""
        table = _schema.studies
        with self._database.read() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.id)).all()
        return [StudyRecord(row.id, row.name, json.loads(row.spec), row.created) for row in rows]

    def create(self, name: str, spec: Mapping[str, Any]) -> StudyRecord:
        """Record a new study.

        Args:
            name: any name without control characters.
            spec: what the study is about, as JSON values; kept as it is.

        Raises:
            StudyError: the name is taken, or cannot be one.
        """
        _paths.check_name(name)
        text = encode(spec, f"the spec of study {name!r}")
        created = time.time()
        row = {"name": name, "spec": text, "created": created}
        try:
            with self._database.write() as connection:
                result = connection.execute(_schema.studies.insert(), row)
        except sa.exc.IntegrityError:
            raise StudyError(
                f"there is already a study named {name!r}",
                where=self.where,
                fix="give the new one another name, or go on with that one",
            ) from None
        assert result.inserted_primary_key is not None
        return StudyRecord(result.inserted_primary_key[0], name, json.loads(text), created)

    def __contains__(self, name: object) -> bool:
        return any(study.name == name for study in self._named(str(name)))

    def find(self, name: str) -> StudyRecord:
        """Return the study ``name``; raise StudyError, with close names, if there is none."""
        found = self._named(name)
        if found:
            return found[0]
        names = [study.name for study in self.studies()]
        close = difflib.get_close_matches(name, names, n=3)
        if close:
            fix = "did you mean " + " or ".join(repr(other) for other in close) + "?"
        elif names:
            fix = f"parafree studies lists the {len(names)} that are here"
        else:
            fix = "the store is empty; parafree tune starts a study"
        raise StudyError(f"there is no study named {name!r}", where=self.where, fix=fix)

    def _named(self, name: str) -> list[StudyRecord]:
        table = _schema.studies
        with self._database.read() as connection:
            rows = connection.execute(sa.select(table).where(table.c.name == name)).all()
        return [StudyRecord(row.id, row.name, json.loads(row.spec), row.created) for row in rows]

    def append(
        self,
        study_id: int,
        first_seq: int,
        events: Sequence[Event],
        clock: Clock | None = None,
        spans: Sequence[Span] = (),
    ) -> int:
        """Write events as one transaction: all of them are kept, or none.

        Args:
            study_id: the study.
            first_seq: the first event's place in the journal, which begins at 1.
            events: the events, in order.
            clock: when this was.
            spans: the jobs that ended since the last call.

        Returns:
            The place of the next event.

        Raises:
            StudyError: another process wrote to this study since its journal was read.
            StoreError: the database refused, for example because the disk is full.
        """
        rows = [
            (study_id, seq, e.kind, e.trial, e.units, e.loss, e.data and encode(e.data, repr(e)))
            for seq, e in enumerate(map(check, events), first_seq)
        ]
        next_seq = first_seq + len(rows)
        try:
            with self._database.write() as connection:
                self._check_place(connection, study_id, first_seq)
                self._insert_event(connection, rows)
                self._insert_span(connection, [(study_id, *span) for span in spans])
                if clock is not None:
                    self._insert_clock(connection, [(study_id, next_seq - 1, *clock)])
        except sa.exc.IntegrityError:
            raise self._other_writer(study_id) from None
        return next_seq

    def _check_place(self, connection: sa.Connection, study_id: int, first_seq: int) -> None:
        if _last_seq(connection, study_id) != first_seq - 1:
            raise self._other_writer(study_id)

    def _other_writer(self, study_id: int) -> StudyError:
        return StudyError(
            "another process wrote to this study",
            where=f"study number {study_id} in {self.where}",
            fix="stop the other process, then run this again; it goes on where that one stopped",
        )

    def last_seq(self, study_id: int) -> int:
        """Return the place of the journal's last event; 0 when it is empty."""
        with self._database.read() as connection:
            return _last_seq(connection, study_id)

    def journal(self, study_id: int, after: int = 0) -> Iterator[Event]:
        """Yield the events behind place ``after``, in order, from one snapshot.

        Args:
            study_id: the study.
            after: the last place already known; 0 for the whole journal.
        """
        table = _schema.events
        query = (
            sa.select(table.c.kind, table.c.trial, table.c.units, table.c.loss, table.c.data)
            .where(table.c.study_id == study_id, table.c.seq > after)
            .order_by(table.c.seq)
        )
        make, loads = tuple.__new__, json.loads
        for rows in self._chunks(query):
            for kind, trial, units, loss, data in rows:
                fields = (kind, trial, units, loss, data if data is None else loads(data))
                yield make(Event, fields)

    def reports(self, study_id: int) -> np.ndarray:
        """Return every report as a structured array.

        Returns:
            Fields ``trial``, ``units``, ``loss`` (NaN where it was not finite), ``seq``; one row
            for each report, in the journal's order.
        """
        table = _schema.events
        query = (
            sa.select(table.c.trial, table.c.units, table.c.loss, table.c.seq)
            .where(table.c.study_id == study_id, table.c.kind == "report")
            .order_by(table.c.seq)
        )
        chunks = [np.array(rows, dtype=_TRIAL_UNITS_LOSS_SEQ) for rows in self._chunks(query)]
        return np.concatenate(chunks) if chunks else np.empty(0, dtype=_TRIAL_UNITS_LOSS_SEQ)

    def _chunks(self, query: sa.Select[Any]) -> Iterator[list[Any]]:
        """Yield rows as the driver gives them: a million Row objects would take seconds."""
        with self._database.read() as connection:
            result = connection.execute(query)
            cursor: Any = result.cursor
            try:
                with self._database.explained():
                    while rows := cursor.fetchmany(_CHUNK):
                        yield rows
            finally:
                result.close()

    def begin_session(
        self, study_id: int, versions: Mapping[str, str], host: str | None = None
    ) -> int:
        """Record that the program begins to work on a study; return the session's number."""
        row = {
            "study_id": study_id,
            "started": time.time(),
            "host": platform.node() if host is None else host,
            "versions": encode(dict(versions), "the versions of a session"),
        }
        with self._database.write() as connection:
            result = connection.execute(_schema.sessions.insert(), row)
        assert result.inserted_primary_key is not None
        return int(result.inserted_primary_key[0])

    def end_session(
        self, session: int, reason: str, compile_s: float, busy: float, overhead_s: float
    ) -> None:
        """Record why a session ended, and what it spent.

        Args:
            session: its number.
            reason: for example ``"time"`` or ``"interrupted"``.
            compile_s: seconds of compiling.
            busy: share of the lanes' time that was used, 0 to 1.
            overhead_s: seconds of scheduling and storing.
        """
        table = _schema.sessions
        row = {
            "ended": time.time(),
            "reason": reason,
            "compile_s": compile_s,
            "busy": busy,
            "overhead_s": overhead_s,
        }
        with self._database.write() as connection:
            connection.execute(table.update().where(table.c.id == session).values(row))

    def close(self) -> None:
        """Close the database; a closed store can be opened again."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _last_seq(connection: sa.Connection, study_id: int) -> int:
    table = _schema.events
    query = sa.select(sa.func.max(table.c.seq)).where(table.c.study_id == study_id)
    return connection.execute(query).scalar() or 0


class _Insert:
    """Inserts rows given as tuples in the order of a table's columns, with bound parameters.

    The statement is compiled once for the dialect and handed to the driver's ``executemany``,
    which is several times faster than building it again for each batch.
    """

    def __init__(self, table: sa.Table, engine: sa.Engine) -> None:
        names = [column.name for column in table.columns]
        compiled = table.insert().compile(dialect=engine.dialect, column_keys=names)
        self._sql = str(compiled)
        self._names = None if compiled.positional else names

    def __call__(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        if self._names is None:
            connection.exec_driver_sql(self._sql, list(rows))
        else:
            named = [dict(zip(self._names, row, strict=True)) for row in rows]
            connection.exec_driver_sql(self._sql, named)
