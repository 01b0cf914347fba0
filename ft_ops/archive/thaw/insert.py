"""Inserts a merged month into today's tables: what may come back, and a count of what may not."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from uuid import UUID

from psycopg import Rollback, sql

from ft_ops.archive.month.catalog import with_deferred_uniques
from ft_ops.archive.month.content import KEYS, Table, column_list
from ft_ops.archive.month.evolution import read_evolution
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.source import (
    ends_of,
    key_names,
    key_text,
    live_source,
    matches,
    named_keys,
    place_text,
    rows_of,
)
from ft_ops.archive.month.thaws import Thaw, open_thaws, units_of
from ft_ops.archive.month.units import Units, hashed, hashed_shared, index_units, units_query
from ft_ops.archive.month.waiting import as_it_waits, kept_while_waiting
from ft_ops.archive.run import Run
from ft_ops.archive.thaw.conditions import (
    ends_deleted,
    is_deleted,
    parents_hold,
    references_hold,
    stored_names,
    values_of,
    violation,
)
from ft_ops.archive.thaw.earlier import bring_earlier
from ft_ops.archive.thaw.left_out import LeftOut
from ft_ops.archive.thaw.merge import AS_OF, KEY_THEN, SEQUENCE, Merged
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Insertion:
    """A merged month on its way into ``table``, inside the caller's transaction.

    ``is_alone``: the table has no parent, so that no trigger registers its rows' keys, and it may
    hold rows that a constraint does not ask for which is NOT VALID. ``deferred``: tables where a
    row that conflicts with another one refuses the thaw, because no ON CONFLICT passes it over.
    """

    run: Run
    thaw: Thaw
    merged: Merged
    table: Relation
    is_alone: bool
    left_out: LeftOut
    deferred: frozenset[str] = frozenset()

    @classmethod
    def into(cls, run: Run, thaw: Thaw, merged: Merged, table: Relation) -> Insertion:
        """Into a month's table as it is now."""
        deferred = with_deferred_uniques(run.connection, merged.content, table.oid)
        return cls(run, thaw, merged, table, table.parent is None, LeftOut(run.log), deferred)

    def insert(self) -> dict[str, int]:
        """Insert parents before children, and note for the thaw's end what came back, by id.

        A segment comes back with all that belongs to it, but for what was deleted since, or not at
        all: without it, the first change would make a newer version of the segment that lacks it.
        Returns the rows that stay out, by table and reason.
        """
        incomplete: set[UUID] = set()
        while found := self._rows(incomplete):
            incomplete |= found
        bring_earlier(self.run, self.thaw, self.merged, self.left_out, self._conflict)
        units = units_of(self.thaw)
        self._execute("archive/create_thaw_shared", units=units.shared)
        for number, table in enumerate(self.merged.content):
            if table.is_shared:
                self._shared(number, table, units)
        content, source = self.merged.content, live_source(self.merged.content, self._loaded())
        self._execute(
            "archive/thaw_units",
            units=units.segments,
            now=units_query(sql.SQL("({})").format(hashed(content, source))),
        )
        index_units(self.run.connection, units)
        self._execute("archive/check_now")
        return self.left_out.rows

    def _rows(self, incomplete: Set[UUID]) -> Set[UUID]:
        """Insert the segments but these, with what belongs to each alone.

        The segments of which something can't come back: then nothing was inserted.
        """
        found: set[UUID] = set()
        with self.run.connection.transaction() as attempt:
            self._segments(incomplete)
            for table in self.merged.content.belongings:
                found |= self._belongings(table)
            if found:
                raise Rollback(attempt)
        return found

    def _segments(self, incomplete: Set[UUID]) -> None:
        table, segments = self.merged.content.segments, self.merged.source.segments
        self._execute(
            "archive/thaw_verdicts",
            segments=segments,
            family=sql.Literal(self.thaw.family_id),
            incomplete=sql.Literal(sorted(incomplete)),
            references=references_hold(table, "s"),
            violation=violation(table, "s", unless_not_valid=self.is_alone),
        )
        for reason, rows in self.run.connection.execute(statement("archive/thaw_left_out")):
            self.left_out.count(table, reason, rows)
        self._execute("archive/thaw_identities")
        self._execute(
            "archive/thaw_segments",
            archived=self.table.identifier,
            columns=stored_names(table),
            values=values_of(table, "s"),
            segments=segments,
            conflict=self._conflict(table),
        )
        refused = self.run.connection.execute(
            statement("archive/thaw_refused_segments").format(
                archived=self.table.identifier, segments=segments
            )
        ).fetchall()
        if refused:
            self.left_out.tell(
                table, "another row has their values", [str(one) for (one,) in refused]
            )
            self.left_out.count(table, "another row has their values", len(refused), again=True)
        if self.is_alone:
            self._execute("archive/thaw_keys", archived=self.table.identifier)

    def _belongings(self, table: Table) -> Set[UUID]:
        """Insert a table's rows; the segments to which one belongs that can't come back."""
        names = {
            "live": table.identifier,
            "rows": rows_of(table, self.merged.source),
            "references": sql.SQL("({} AND {})").format(
                references_hold(table, "c"), parents_hold(table, self.merged.content, "c")
            ),
            "violation": violation(table, "c"),
        }
        self._execute(
            "archive/thaw_rows",
            columns=stored_names(table),
            values=values_of(table, "c"),
            conflict=self._conflict(table),
            **names,
        )
        # Another row may have the same key, and belong to something else.
        own = list(dict.fromkeys([*table.key, *table.paths[0][0].columns]))
        incomplete: set[UUID] = set()
        for reason, rows, segments in self.run.connection.execute(
            statement("archive/thaw_left_out_rows").format(
                matches=matches("c", own, "live", own), **names
            )
        ):
            self.left_out.count(table, reason, rows, again=segments is None)
            if segments:
                self.left_out.tell(
                    table, f"{reason}; with their segments", list(map(str, segments))
                )
            incomplete.update(segments or ())
        return incomplete

    def _shared(self, number: int, table: Table, units: Units) -> None:
        """Let the rows wait, and insert those that no longer have to, from whatever month."""
        keys = matches("touched", key_names(table), "c", table.key)
        names = {
            "table": sql.Literal(table.name),
            "month": sql.Literal(self.thaw.month.first_day),
            "live": table.identifier,
            "references": references_hold(table, "c"),
            "deleted": is_deleted(table.name, [key_text(table, "c"), place_text(table, "c")]),
            "waiting": as_it_waits(table, read_evolution(self.run.connection)),
        }
        waiting = {
            **names,
            "touched": statement("archive/came_back_with").format(
                keys=named_keys(table),
                ends=ends_of(table, self.merged.source),
                live=table.identifier,
                lives=matches("ends", key_names(table), "live", table.key),
            ),
            "deleted": is_deleted(
                table.name,
                [
                    name
                    for key in (key_text(table, "c"), sql.Identifier("c", KEY_THEN))
                    for name in (key, place_text(table, "c", key))
                ],
            ),
            "rows": self.merged.source[table.name],
            "matches": keys,
            "violation": violation(table, "c"),
        }
        self._count(table, "archive/thaw_left_out_shared", **waiting)
        self._execute(
            "archive/wait_for_ends",
            key=key_text(table, "c"),
            as_of=sql.Identifier(AS_OF),
            sequence=sql.Identifier(SEQUENCE),
            kept=kept_while_waiting(table, values_of(table, "c")),
            ends_deleted=ends_deleted(table, "c"),
            **waiting,
        )
        self.run.connection.execute(statement("archive/drop_arrivals"))
        self._execute(
            "archive/find_arrivals",
            ends_live=parents_hold(table, self.merged.content, "c"),
            **names,
        )
        self._execute(
            "archive/thaw_arrivals",
            columns=stored_names(table),
            values=values_of(table, "c"),
            conflict=self._conflict(table),
            **names,
        )
        own = list(
            dict.fromkeys([*table.key, *(c for path in table.paths for c in path[0].columns)])
        )
        for reason, rows, refused in self.run.connection.execute(
            statement("archive/thaw_conflicts").format(
                live=table.identifier,
                waiting=names["waiting"],
                matches=matches("c", own, "live", own),
            )
        ).fetchall():
            self.left_out.tell(table, reason, refused)
            self.left_out.count(table, reason, rows)
        self._note_shared(number, table, units, names)
        self._execute("archive/forget_arrivals", table=names["table"])

    def _note_shared(
        self, number: int, table: Table, units: Units, names: Mapping[str, sql.Composable]
    ) -> None:
        """Note which shared rows the end of this thaw, and of its neighbours', may take along."""
        content = self.merged.content
        self._execute(
            "archive/thaw_shared_arrivals",
            units=units.shared,
            now=hashed_shared(number, table, live_source(content, self._loaded())),
            **names,
        )
        self._execute(
            "archive/thaw_shared_waiting",
            units=units.shared,
            number=sql.Literal(number),
            columns=column_list(table.stored, "c"),
            **names,
        )
        for other in open_thaws(self.run.connection):
            if other.id == self.thaw.id or not other.has_units or other.content != content:
                continue
            bounds = (sql.Literal(other.month.start), sql.Literal(other.month.end))
            keys = statement("archive/keys_of_month").format(
                keys=sql.Identifier(KEYS), lower=bounds[0], upper=bounds[1]
            )
            self._execute(
                "archive/share_with_neighbour",
                units=units_of(other).shared,
                now=hashed_shared(number, table, live_source(content, keys)),
                **names,
            )

    def _conflict(self, table: Table) -> sql.SQL:
        return sql.SQL("" if table.name in self.deferred else "ON CONFLICT DO NOTHING")

    def _loaded(self) -> sql.Composed:
        """A relation: the segments that have come back."""
        return statement("archive/loaded_segments").format(archived=self.table.identifier)

    def _execute(self, name: str, **names: sql.Composable) -> None:
        self.run.connection.execute(statement(name).format(**names))

    def _count(self, counted: Table, name: str, **names: sql.Composable) -> None:
        for reason, rows in self.run.connection.execute(statement(name).format(**names)):
            self.left_out.count(counted, reason, rows)
