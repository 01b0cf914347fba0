"""Removes a month's rows in small batches, each row by its id and only as it was proven.

The month's table stands alone meanwhile. A batch is one transaction: it asks the holds, looks at
what its segments and all that belongs to them are now, and deletes the keys of those that are what
was proven; the cascade takes the rest. A segment that is anything else stays, with all of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
from ft_ops.archive.month.units import Units
from ft_ops.archive.month.waiting import kept_while_waiting
from ft_ops.archive.purge.belongings import delete_belongings, delete_keys
from ft_ops.archive.purge.compare import Compared, compare
from ft_ops.archive.purge.throttle import Throttle
from ft_ops.archive.run import Run
from ft_ops.months import Month
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

BATCH_ROWS = 2000
"""Segments looked at in one transaction, with what belongs to them; a bucket is never divided."""

_ATTEMPTS = 5

_RESERVED = "purged_segments_pkey"


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed: by the units that were proven, from a table that stands alone.

    ``content`` is what the units' hashes were made of. ``done`` buckets were removed by an earlier
    run; ``record`` notes in each batch's transaction that its buckets are done. ``generation`` or
    ``thaw`` says whose rows they are.
    """

    month: Month
    table: Relation
    content: Content
    units: Units
    done: frozenset[int]
    record: Callable[[Sequence[int]], None]
    generation: int | None = None
    thaw: int | None = None

    @property
    def what(self) -> str:
        return f"removal of {self.month}"


@dataclass(frozen=True, slots=True)
class Removed:
    """Segments that this run removed, and those that it looked at and kept.

    ``buckets`` are all that are done, those of earlier runs included. ``stopped`` says why it did
    not get to the end, if it did not; ``tables_changed``: because of a migration.
    """

    segments: int
    kept: int
    buckets: frozenset[int]
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
    gone = set(removal.done)
    for buckets in throttle.steps(_buckets(run, removal)):
        try:
            free, stay = batches.remove(buckets)
        except (_Stop, ContentChanged) as stop:
            run.log(f"the removal of {removal.month} stops: {stop}")
            return Removed(
                removed,
                kept,
                frozenset(gone),
                str(stop),
                tables_changed=isinstance(stop, ContentChanged),
            )
        gone.update(buckets)
        removed += free
        kept += stay
        if stay:
            run.log(f"{stay} segments are not what was proven, and stay")
        run.log(f"removed {removed:,} segments of {removal.month}")
    return Removed(removed, kept, frozenset(gone))


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


def _buckets(run: Run, removal: Removal) -> Iterator[list[int]]:
    """Runs of buckets, ascending, of about BATCH_ROWS segments each."""
    sizes = run.connection.execute(
        statement("archive/unit_buckets").format(units=removal.units.segments)
    ).fetchall()
    buckets: list[int] = []
    rows = 0
    for bucket, segments in sizes:
        if bucket in removal.done:
            continue
        buckets.append(bucket)
        rows += segments
        if rows >= BATCH_ROWS:
            yield buckets
            buckets, rows = [], 0
    if buckets:
        yield buckets


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

    def remove(self, buckets: Sequence[int]) -> tuple[int, int]:
        """How many segments of some buckets went, and how many stay; _Stop when none may go."""
        what = f"{self.removal.what}, buckets {buckets[0]} to {buckets[-1]}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return with_escalating_lock_timeout(
                    self.run.connection, what, lambda: self._once(buckets), sleep=self.run.sleep
                )
            except psycopg.errors.RestrictViolation as error:
                raise _Stop(str(error).splitlines()[0]) from error
            except psycopg.errors.UniqueViolation as error:
                if error.diag.constraint_name != _RESERVED:
                    raise
                self._forget_reserved(what, buckets)
            except psycopg.errors.SerializationFailure:
                if attempt < _ATTEMPTS:
                    self.run.sleep(0.05)
        # Somebody keeps changing what belongs to them: they stay.
        return self._keep_all(buckets)

    def _once(self, buckets: Sequence[int]) -> tuple[int, int]:
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
            found = self._compare(buckets)
            if found.free:
                self._wait_again(found.free_ids)
                delete_belongings(connection, self.removal.content, found.free_ids)
                delete_keys(connection, self.removal.month, found.free_ids)
            if found.stay:
                self._keep(found.stay_ids)
            self.removal.record(buckets)
            return found.free, found.stay

    def _forget_reserved(self, what: str, buckets: Sequence[int]) -> None:
        connection = self.run.connection
        query = statement("archive/forget_reserved").format(
            units=self.removal.units.segments, buckets=sql.Literal(list(buckets))
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

    def _keep_all(self, buckets: Sequence[int]) -> tuple[int, int]:
        connection = self.run.connection
        with connection.transaction():
            found = self._compare(buckets)
            self.removal.record(buckets)
            for ids in (found.free_ids, found.stay_ids):
                self._keep(ids)
        return 0, found.free + found.stay

    def _compare(self, buckets: Sequence[int]) -> Compared:
        removal = self.removal
        return compare(
            self.run.connection, removal.content, removal.table, removal.units, self.others, buckets
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
