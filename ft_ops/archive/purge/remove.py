"""Removes a month's rows in small batches, each row by its id and only as it was proven.

The month's table stands alone meanwhile. A batch is one transaction: it asks the holds, looks at
what its segments and all that belongs to them are now, and deletes the keys of those that are what
was proven; the cascade takes the rest. A segment that is anything else stays, with all of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from ft_ops.archive.month.content import KEYS, column_list
from ft_ops.archive.month.source import (
    ends_of,
    key_names,
    key_text,
    live_source,
    matches,
    named_keys,
)
from ft_ops.archive.month.units import RemovalProgress
from ft_ops.archive.month.waiting import kept_while_waiting
from ft_ops.archive.move.portion import Portion, TooLong
from ft_ops.archive.purge.belongings import delete_belongings, delete_keys
from ft_ops.archive.purge.compare import Compared, compare
from ft_ops.archive.purge.removal import Removal, Removed, forget_erased_rows
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.run import Run
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

BATCH_ROWS = 2000
"""Segments looked at in one transaction, at most, with what belongs to them.

Fewer where they would be locked for longer: who deletes their thread waits until it ends.
"""

_ATTEMPTS = 5

_TOLD_ROWS = 10_000
"""The log has a line for so many segments that went."""

_RESERVED = "purged_segments_pkey"


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
    others = other_references(run.connection, content)
    forget_erased_rows(run, removal)
    batches = _Batches(run, removal, held, before, others, removal.done, Portion(BATCH_ROWS))
    removed = kept = 0
    for batch in throttle.steps(batches.rest()):
        try:
            free, stay = batches.remove(batch)
        except (_Stop, ContentChanged) as stop:
            run.log(f"the removal of {removal.month} stops: {stop}")
            return Removed(
                removed,
                kept,
                batches.done,
                str(stop),
                tables_changed=isinstance(stop, ContentChanged),
            )
        removed += free
        kept += stay
        if stay:
            run.log(f"{stay} segments are not what was proven, and stay")
        if removed // _TOLD_ROWS > (removed - free) // _TOLD_ROWS:
            run.log(f"removed {removed:,} segments of {removal.month}")
    return Removed(removed, kept, batches.done)


@dataclass(frozen=True, slots=True)
class _Ids:
    """A batch: the proven segments from one id to another, both included, and how many."""

    first: UUID
    last: UUID
    segments: int


@dataclass(slots=True)
class _Batches:
    """The batches of one removal.

    ``held`` tells which changes of holds are known, none of which holds the month; ``before`` is
    the signature of the tables. ``done`` is how far the removal has come.
    """

    run: Run
    removal: Removal
    held: int
    before: str
    others: Sequence[OtherReference]
    done: RemovalProgress
    portion: Portion

    def rest(self) -> Iterator[_Ids]:
        """What is left, batch by batch, in the order of the ids.

        What follows in this order lies together in the indexes by id, which a batch probes most.
        """
        while (batch := self._next()) is not None:
            yield batch

    def _next(self) -> _Ids | None:
        after = self.done.through
        query = statement("archive/next_batch").format(
            units=self.removal.units.segments,
            behind=sql.SQL("true")
            if after is None
            else sql.SQL("u.segment_id > {}").format(sql.Literal(after)),
            rows=sql.Literal(self.portion.rows),
        )
        row = self.run.connection.execute(query).fetchone()
        return None if row is None else _Ids(*row)

    def remove(self, batch: _Ids) -> tuple[int, int]:
        """How many segments of a batch went, and how many stay; _Stop when none may go.

        Of its first part, where all of it took too long, or somebody changed some of it meanwhile.
        """
        for _ in range(_ATTEMPTS):
            batch, found = self._attempt(batch)
            if found is not None:
                break
        else:
            # Somebody keeps changing what belongs to this one: it stays.
            found = self._keep_all(batch)
        self.done = replace(self.done, through=batch.last)
        return found

    def _attempt(self, batch: _Ids) -> tuple[_Ids, tuple[int, int] | None]:
        """The batch, or the part of it that was tried at last; and what went and stays, if any."""
        while True:
            what = f"{self.removal.what}, up to segment {batch.last}"
            try:
                return batch, with_escalating_lock_timeout(
                    self.run.connection, what, partial(self._once, batch), sleep=self.run.sleep
                )
            except psycopg.errors.RestrictViolation as error:
                raise _Stop(str(error).splitlines()[0]) from error
            except psycopg.errors.UniqueViolation as error:
                if error.diag.constraint_name != _RESERVED:
                    raise
                self._forget_reserved(what, batch)
                return batch, None
            except (psycopg.errors.SerializationFailure, TooLong):
                if not self.portion.halve(batch.segments):
                    self.run.sleep(0.05)
                    return batch, None
                batch = self._next() or batch

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
            with self.portion.locked(connection, batch.segments) as go_on:
                if found.free:
                    self._wait_again(found.free_ids, go_on)
                    delete_belongings(connection, self.removal.content, found.free_ids, go_on)
                    delete_keys(connection, self.removal.month, found.free_ids, go_on)
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

    def _wait_again(self, segments: str, go_on: Callable[[], None]) -> None:
        """Let shared rows wait that go with these segments and are in another month's archive."""
        if self.removal.thaw is None:
            return
        content = self.removal.content
        batch = statement("archive/some_segments").format(
            segments=self.removal.table.identifier, ids=sql.Literal(segments)
        )
        for number, table in enumerate(content):
            if table.is_shared:
                go_on()
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
