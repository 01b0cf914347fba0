"""Removes a month's rows in small batches, each row by its id and only as it was proven.

The month's table stands alone meanwhile. A batch is one transaction: it asks the holds, looks at
what its segments and all that belongs to them are now, and deletes the keys of those that are what
was proven; the cascade takes the rest. A segment that is anything else stays, with all of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
from psycopg import sql

from ft_ops.archive.hold.holds import changes_of_holds, holds_on
from ft_ops.archive.month.catalog import (
    ContentChanged,
    OtherReference,
    other_references,
    read_content,
    refuse_changed,
    signature,
)
from ft_ops.archive.month.content import KEYS, Content, column_list
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.source import (
    ends_of,
    key_names,
    key_text,
    live_source,
    matches,
    named_keys,
)
from ft_ops.archive.month.units import RemovalProgress, Units
from ft_ops.archive.month.waiting import kept_while_waiting
from ft_ops.archive.purge.belongings import delete_belongings, delete_keys
from ft_ops.archive.purge.compare import Compared, compare
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.run import Run
from ft_ops.months import Month
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

BATCH_ROWS = 2000
"""Segments looked at in one transaction, with what belongs to them, however large the month is."""

_ATTEMPTS = 5

_RESERVED = "purged_segments_pkey"


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed: by the units that were proven, from a table that stands alone.

    ``content`` is what the units' hashes were made of. ``done`` is how far earlier runs have come;
    ``record`` notes in each batch's transaction the id with which it ends. ``generation`` or
    ``thaw`` says whose rows they are.
    """

    month: Month
    table: Relation
    content: Content
    units: Units
    done: RemovalProgress
    record: Callable[[UUID], None]
    generation: int | None = None
    thaw: int | None = None

    @property
    def what(self) -> str:
        return f"removal of {self.month}"


@dataclass(frozen=True, slots=True)
class Removed:
    """Segments that this run removed, and those that it looked at and kept.

    ``done`` is how far it has come, earlier runs included. ``stopped`` says why it did not get to
    the end, if it did not; ``tables_changed``: because of a migration.
    """

    segments: int
    kept: int
    done: RemovalProgress
    stopped: str = ""
    tables_changed: bool = False


class _Stop(Exception):
    """The removal ends here, for a reason; what is left stays."""


def remove_content(run: Run, removal: Removal, throttle: Throttle) -> Removed:
    """Delete the keys of all segments that are what was proven; their cascade takes the rest.

    Stops, and says why, as soon as a legal hold is placed on the month or on anybody with content
    in it, or a migration changes a table of content.
    """
    held = changes_of_holds(run.connection)
    if holds := holds_on(run.connection, removal.month, removal.table.identifier):
        return Removed(0, 0, removal.done, "; ".join(map(str, holds)))
    before = signature(run.connection)
    content = read_content(run.connection)
    changed = removal.content.differences(content)
    if changed:
        return Removed(0, 0, removal.done, "; ".join(changed), tables_changed=True)
    batches = _Batches(run, removal, held, before, other_references(run.connection, content))
    removed = kept = 0
    done = removal.done
    for batch in throttle.steps(_ids(run, removal)):
        try:
            free, stay = batches.remove(batch)
        except (_Stop, ContentChanged) as stop:
            run.log(f"the removal of {removal.month} stops: {stop}")
            return Removed(
                removed,
                kept,
                done,
                str(stop),
                tables_changed=isinstance(stop, ContentChanged),
            )
        done = replace(done, through=batch.last)
        removed += free
        kept += stay
        if stay:
            run.log(f"{stay} segments are not what was proven, and stay")
        run.log(f"removed {removed:,} segments of {removal.month}")
    return Removed(removed, kept, done)


def has_kept(run: Run, removal: Removal) -> bool:
    """Whether this run or an earlier one has looked at a segment of this removal and kept it."""
    [[found]] = run.connection.execute(
        statement("archive/has_kept"),
        {
            "month": removal.month.first_day,
            "generation": removal.generation,
            "thaw": removal.thaw,
        },
    ).fetchall()
    return bool(found)


def forget_kept(run: Run, removal: Removal) -> None:
    """Forget which segments stay, in the transaction that gives them a table of their own."""
    run.connection.execute(
        statement("archive/forget_kept"),
        {
            "month": removal.month.first_day,
            "generation": removal.generation,
            "thaw": removal.thaw,
        },
    )


@dataclass(frozen=True, slots=True)
class _Ids:
    """A batch: the proven segments from one id to another, both included."""

    first: UUID
    last: UUID


def _ids(run: Run, removal: Removal) -> Iterator[_Ids]:
    """Batches of BATCH_ROWS proven segments, in the order of their ids.

    What follows in this order lies together in the indexes by id, which a batch probes most.
    """
    after = removal.done.through
    while (batch := _behind(run, removal, after)) is not None:
        yield batch
        after = batch.last


def _behind(run: Run, removal: Removal, after: UUID | None) -> _Ids | None:
    everything = sql.SQL("true")
    query = statement("archive/next_batch").format(
        units=removal.units.segments,
        behind=everything
        if after is None
        else sql.SQL("u.segment_id > {}").format(sql.Literal(after)),
        rows=sql.Literal(BATCH_ROWS),
    )
    row = run.connection.execute(query).fetchone()
    return None if row is None else _Ids(*row)


@dataclass(frozen=True, slots=True)
class _Batches:
    """What all batches of one removal share.

    ``held`` tells which changes of holds are known, none of which holds the month; ``before`` is
    the signature of the tables.
    """

    run: Run
    removal: Removal
    held: int
    before: str
    others: Sequence[OtherReference]

    def remove(self, batch: _Ids) -> tuple[int, int]:
        """How many segments of a batch went, and how many stay; _Stop when none may go."""
        what = f"{self.removal.what}, up to segment {batch.last}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return with_escalating_lock_timeout(
                    self.run.connection, what, lambda: self._once(batch), sleep=self.run.sleep
                )
            except psycopg.errors.RestrictViolation as error:
                raise _Stop(str(error).splitlines()[0]) from error
            except psycopg.errors.UniqueViolation as error:
                if error.diag.constraint_name != _RESERVED:
                    raise
                self._forget_reserved(what, batch)
            except psycopg.errors.SerializationFailure:
                if attempt < _ATTEMPTS:
                    self.run.sleep(0.05)
        # Somebody keeps changing what belongs to them: they stay.
        return self._keep_all(batch)

    def _once(self, batch: _Ids) -> tuple[int, int]:
        """One transaction: holds, comparison, deletion, record.

        REPEATABLE READ: the comparison and the deletion see the same rows, and whatever somebody
        commits in between makes the deletion, or its cascade, fail to serialize instead of taking
        it along, or of passing over what is gone.
        """
        connection = self.run.connection
        with connection.transaction():
            self._begin()
            refuse_changed(connection, self.before)
            self._refuse_held()
            found = self._compare(batch)
            if found.free:
                self._wait_again(found.free_ids)
                delete_belongings(connection, self.removal.content, found.free_ids)
                delete_keys(connection, self.removal.month, found.free_ids)
            if found.stay:
                self._keep(found.stay_ids)
            self.removal.record(batch.last)
            return found.free, found.stay

    def _forget_reserved(self, what: str, batch: _Ids) -> None:
        connection = self.run.connection
        query = statement("archive/forget_reserved").format(
            units=self.removal.units.segments, in_batch=self._in_batch(batch)
        )
        with_escalating_lock_timeout(
            connection, what, lambda: connection.execute(query), sleep=self.run.sleep
        )

    def _refuse_held(self) -> None:
        """_Stop when a hold on the month, or on anything in it, was placed since the beginning.

        The database refuses by itself what is held; this spares it the rest of the month too.
        """
        if changes_of_holds(self.run.connection) == self.held:
            return
        holds = holds_on(self.run.connection, self.removal.month, self.removal.table.identifier)
        if holds:
            raise _Stop("; ".join(map(str, holds)))

    def _keep_all(self, batch: _Ids) -> tuple[int, int]:
        connection = self.run.connection
        with connection.transaction():
            found = self._compare(batch)
            self.removal.record(batch.last)
            for ids in (found.free_ids, found.stay_ids):
                self._keep(ids)
        return 0, found.free + found.stay

    def _compare(self, batch: _Ids) -> Compared:
        removal = self.removal
        return compare(
            self.run.connection,
            removal.content,
            removal.table,
            removal.units,
            self.others,
            self._in_batch(batch),
        )

    def _in_batch(self, batch: _Ids) -> sql.Composed:
        """A condition on a unit u. What a removal of an earlier version has done is in no batch."""
        return sql.SQL(
            "u.segment_id BETWEEN {first} AND {last} AND u.bucket <> ALL ({done}::smallint[])"
        ).format(
            first=sql.Literal(batch.first),
            last=sql.Literal(batch.last),
            done=sql.Literal(sorted(self.removal.done.buckets)),
        )

    def _wait_again(self, segments: str) -> None:
        """Let shared rows wait that go with these segments and are in another month's archive."""
        if self.removal.thaw is None:
            return
        content = self.removal.content
        batch = statement("archive/some_segments").format(
            segments=self.removal.table.identifier, ids=sql.Literal(segments)
        )
        for number, table in enumerate(content):
            if table.is_shared:
                self.run.connection.execute(
                    statement("archive/wait_again").format(
                        table=sql.Literal(table.name),
                        number=sql.Literal(number),
                        units=self.removal.units.shared,
                        kept=kept_while_waiting(table, column_list(table.stored, "c")),
                        keys=named_keys(table),
                        ends=ends_of(table, live_source(content, batch)),
                        rows=table.identifier,
                        matches=matches("touched", key_names(table), "c", table.key),
                        key=key_text(table, "c"),
                    )
                )

    def _keep(self, segments: str) -> None:
        removal = self.removal
        self.run.connection.execute(
            statement("archive/record_kept"),
            {
                "month": removal.month.first_day,
                "generation": removal.generation,
                "thaw": removal.thaw,
                "segments": segments,
            },
        )

    def _begin(self) -> None:
        """Before the snapshot: nobody adds a foreign key or a column until this batch is done."""
        connection = self.run.connection
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SET LOCAL ft_ops.removes = 'on'")
        # A batch is a small part of tables that hold all months: the planner thinks else of a few.
        connection.execute("SET LOCAL enable_seqscan = off")
        tables = [sql.Identifier("public", KEYS)]
        tables += [table.identifier for table in self.removal.content.tables[1:]]
        connection.execute(
            statement("archive/lock_content").format(tables=sql.SQL(", ").join(tables))
        )
