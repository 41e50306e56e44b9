"""The store: one database that keeps the journal of every study, append-only."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from parafree.core.errors import StudyError
from parafree.study import _paths, _schema, _wallclock
from parafree.study._engine import Database, open_database
from parafree.study._lock import Lock, lock_file, lock_server
from parafree.study._rows import Insert, chunks, columns
from parafree.study._summary import Summary, summarise
from parafree.study._wallclock import Clock, Session, Span
from parafree.study.events import Event, check, encode
from parafree.study.history import REPORT

__all__ = ["Clock", "Session", "Span", "Store", "StudyRecord", "Summary"]

_EVENT = ("seq", *Event._fields)
_LOOKUP = 500  # rows looked up by place in one statement


class StudyRecord(NamedTuple):
    """A study as the store lists it."""

    id: int
    name: str
    spec: dict[str, Any]
    created: float  # seconds since 1970


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
        self._insert_event = Insert(_schema.events, database)
        self._insert_span = Insert(_schema.spans, database)
        self._insert_clock = Insert(_schema.clock, database)

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
        for rows in chunks(self._database, query):
            for kind, trial, units, loss, data in rows:
                fields = (kind, trial, units, loss, data if data is None else loads(data))
                yield make(Event, fields)

    def reports(self, study_id: int) -> np.ndarray:
        """Return every report as a structured array.

        Returns:
            One row of :data:`~parafree.study.history.REPORT` for each report, in the journal's
            order: ``trial``, ``units``, ``loss`` (NaN where it was not finite), ``seq``.
        """
        table = _schema.events
        query = (
            sa.select(table.c.trial, table.c.units, table.c.loss, table.c.seq)
            .where(table.c.study_id == study_id, table.c.kind == "report")
            .order_by(table.c.seq)
        )
        return columns(self._database, query, REPORT)

    def decisions(self, study_id: int) -> Iterator[tuple[int, Event]]:
        """Yield the place and the event of everything but reports, in order."""
        table = _schema.events
        query = (
            sa.select(*table.c[_EVENT])
            .where(table.c.study_id == study_id, table.c.kind != "report")
            .order_by(table.c.seq)
        )
        for rows in chunks(self._database, query):
            for seq, kind, trial, units, loss, data in rows:
                yield seq, Event(kind, trial, units, loss, data and json.loads(data))

    def report_data(self, study_id: int, seqs: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return the metrics of the reports at some places, where they have any."""
        table = _schema.events
        found: dict[int, dict[str, Any]] = {}
        for begin in range(0, len(seqs), _LOOKUP):
            query = sa.select(table.c.seq, table.c.data).where(
                table.c.study_id == study_id,
                table.c.seq.in_(seqs[begin : begin + _LOOKUP]),
                table.c.data.is_not(None),
            )
            for rows in chunks(self._database, query):
                found.update((seq, json.loads(data)) for seq, data in rows)
        return found

    def export_dump(self, study_id: int) -> str:
        """Return the journal as text: equal texts are equal journals, bit for bit.

        One line for each event; a loss is written so that it reads back exactly.
        """
        table = _schema.events
        query = sa.select(*table.c[_EVENT]).where(table.c.study_id == study_id)
        return "".join(
            f"{seq}\t{kind}\t{trial}\t{units}\t{loss!r}\t{data or ''}\n"
            for rows in chunks(self._database, query.order_by(table.c.seq))
            for seq, kind, trial, units, loss, data in rows
        )

    def summary(self, study_id: int) -> Summary:
        """Count what is in a study, inside the database."""
        with self._database.read() as connection:
            return summarise(connection, study_id)

    def delete(self, name: str) -> None:
        """Delete a study and its files; raise StudyError if it is in use or does not exist."""
        study = self.find(name)
        with self.lock(study.id):
            with self._database.write() as connection:
                for table in _schema.OWNED:
                    connection.execute(table.delete().where(table.c.study_id == study.id))
                own = _schema.studies.c.id == study.id
                connection.execute(_schema.studies.delete().where(own))
            shutil.rmtree(self.folder(name), ignore_errors=True)

    def lock(self, study_id: int) -> Lock:
        """Keep every other process away from a study until the lock is released.

        Raises:
            StudyError: it is in use; the message names the process and its machine.
        """
        query = sa.select(_schema.studies.c.name).where(_schema.studies.c.id == study_id)
        with self._database.read() as connection:
            name = connection.execute(query).scalar()
        if name is None:
            raise StudyError(
                "the study was deleted", where=f"study number {study_id} in {self.where}"
            )
        if self.path is None:
            return lock_server(self._database.engine, study_id, name)
        folder = self.folder(name)
        return lock_file(folder.with_name(folder.name + ".lock"), name)

    def begin_session(
        self, study_id: int, versions: Mapping[str, str], host: str | None = None
    ) -> int:
        """Record that the program begins to work on a study; return the session's number."""
        return _wallclock.begin_session(self._database, study_id, versions, host)

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
        _wallclock.end_session(
            self._database,
            session,
            reason=reason,
            compile_s=compile_s,
            busy=busy,
            overhead_s=overhead_s,
        )

    def sessions(self, study_id: int) -> list[Session]:
        """Return every session, oldest first."""
        return _wallclock.read_sessions(self._database, study_id)

    def clock(self, study_id: int) -> np.ndarray:
        """Return when each flush happened: ``seq`` (its last event), ``session``, ``elapsed_s``."""
        return _wallclock.read_clock(self._database, study_id)

    def spans(self, study_id: int) -> np.ndarray:
        """Return every job on every lane: the fields of :class:`Span`, ordered by begin."""
        return _wallclock.read_spans(self._database, study_id)

    def close(self) -> None:
        """Close the database; a closed store can be opened again."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Built once: building it again for each append would cost more than running it.
_LAST_SEQ = sa.select(sa.func.max(_schema.events.c.seq)).where(
    _schema.events.c.study_id == sa.bindparam("study")
)


def _last_seq(connection: sa.Connection, study_id: int) -> int:
    return connection.execute(_LAST_SEQ, {"study": study_id}).scalar() or 0
