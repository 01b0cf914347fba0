"""Decides what becomes of each copied row: missing, same, changed, or why it stays out.

Rows are judged parents first, so that what hangs on a row that stays out stays out for its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.families import others_now
from ft_ops.restore.read.graph import KEYS, SEGMENTS, USERS, ForeignKey, Scope, identifier
from ft_ops.restore.read.rows import Copied
from ft_ops.restore.read.sides import Ids, Side, among, with_owners
from ft_ops.restore.subject import Decisions
from ft_ops.restore.verdict.constraints import keep_out_held, keep_out_refused, keep_out_rivals
from ft_ops.restore.verdict.keep_out import keep_out, keep_out_each
from ft_ops.restore.verdict.months import place_segments
from ft_ops.restore.verdict.removed import keep_out_removed
from ft_ops.restore.verdict.shared import foreign_links, is_shared

KINDS: Final[Mapping[str, str]] = {
    USERS: "user",
    "public.families": "family",
    "public.memory_books": "book",
    "public.threads": "thread",
    SEGMENTS: "segment",
}
"""Tables whose deleted rows leave a tombstone, by its kind."""

_ONLY_MENTIONED: Final = frozenset(
    {("public.family_members", "invited_by"), ("public.family_invites", "accepted_by")}
)
"""References that say something of a row and don't make it: without them it is still the row."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A deletion on record. What bears its id stays erased unless it is named as a mistake."""

    kind: str
    id: UUID
    erased_at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided besides the states of the rows."""

    tombstones: tuple[Tombstone, ...]
    withdrawn: tuple[Tombstone, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """One judgement: both sides, the subject's keys in the live database, and the decisions."""

    live: Side
    scope: Scope
    copied: Mapping[str, Copied]
    ids: Ids
    decisions: Decisions

    @property
    def connection(self) -> Connection:
        return self.live.connection

    def judge(self) -> Judged:
        """Set the state of every copied row."""
        for copied in self.copied.values():
            self._compare(copied)
        tombstones = tuple(self._tombstones())
        withdrawn = self._withdrawn(tombstones)
        for copied in self.copied.values():
            self._keep_out_erased(copied, withdrawn)
            if copied.table.name == self.scope.subject.root:
                self._keep_out_others(copied)
            self._keep_out_of_other_families(copied)
            if copied.table.name == SEGMENTS:
                place_segments(self.connection, copied)
            if not self.decisions.removed_members:
                keep_out_removed(self.connection, copied)
            if is_shared(self.scope, copied.table):
                self.keep_out(copied, *foreign_links(self.scope, self.copied, copied, self.ids))
            self._keep_out_orphans(copied)
            keep_out_rivals(self.connection, copied)
            keep_out_refused(self.connection, copied)
            # What refers to rows of its own table that were kept out just now.
            self._keep_out_orphans(copied)
            if self.decisions.overwrite_changed:
                keep_out_held(self.live, copied)
        if self.scope.late:
            self._keep_out_all_orphans()
        return Judged(tombstones, tuple(self._coming_back(withdrawn)))

    def writes(self) -> bool:
        """Whether any row is to be written."""
        return any(self._any(copied, sql.SQL("true")) for copied in self.copied.values())

    def again(self, judged: Judged) -> Judged:
        """Judge once more what hangs on rows that were kept out since."""
        self._keep_out_all_orphans()
        withdrawn = self._withdrawn(judged.tombstones)
        return Judged(judged.tombstones, tuple(self._coming_back(withdrawn)))

    def keep_out(self, copied: Copied, state: str, why: str, condition: sql.Composable) -> int:
        """Keep rows from being written: see there."""
        return keep_out(self.connection, copied, state, why, condition)

    def _compare(self, copied: Copied) -> None:
        table = copied.table
        columns = with_owners(self.scope, table, (*table.key, *copied.compared))
        self.connection.execute(
            statement("restore/compare_rows").format(
                rows=copied.rows,
                live=self.live.rows(table, columns),
                is_same=copied.is_same(copied.compared),
                is_of_subject=self.live.belongs(table, self.scope, self.ids, "l"),
                same_key=copied.same_key(),
            )
        )
        self.connection.execute(
            statement("restore/choose_rows").format(rows=copied.rows),
            {"overwrite": self.decisions.overwrite_changed},
        )
        # Else the planner takes it that none is written, and reads all of them for each.
        self.connection.execute(sql.SQL("ANALYZE {}").format(copied.rows))

    def _tombstones(self) -> Iterator[Tombstone]:
        for name, kind in KINDS.items():
            if name in self.copied:
                with self.connection.cursor(row_factory=class_row(Tombstone)) as cursor:
                    cursor.execute(
                        statement("restore/tombstones_of").format(rows=self.copied[name].rows),
                        {"kind": kind},
                    )
                    yield from cursor

    def _withdrawn(self, tombstones: Collection[Tombstone]) -> tuple[Tombstone, ...]:
        """The tombstones of what was named as a mistake, and of what its deletion took along."""
        mistakes = self.decisions.mistakes
        if unknown := mistakes - {tombstone.id for tombstone in tombstones}:
            raise Refused(
                f"restore of {self.scope.subject}",
                cause=f"{', '.join(map(str, sorted(unknown)))} is no deleted part of it",
                next_step="name what the plan lists among the deletions",
            )
        moments = {t.erased_at for t in tombstones if t.id in mistakes}
        return tuple(t for t in tombstones if t.erased_at in moments)

    def _coming_back(self, withdrawn: Collection[Tombstone]) -> Iterator[Tombstone]:
        """Those of rows that are written, or that a thaw can bring once nothing forbids it."""
        for name, kind in KINDS.items():
            if name in self.copied:
                query = sql.SQL(
                    "SELECT id FROM {} WHERE ft_writes OR ft_state = 'archived'"
                ).format(self.copied[name].rows)
                ids = {row[0] for row in self.connection.execute(query)}
                yield from (t for t in withdrawn if t.kind == kind and t.id in ids)

    def _keep_out_erased(self, copied: Copied, withdrawn: Collection[Tombstone]) -> None:
        kind = KINDS.get(copied.table.name)
        if kind is None:
            return
        self.keep_out(
            copied,
            "erased",
            "it was deleted, and a tombstone says so",
            sql.SQL("c.ft_state = 'missing' AND {} AND NOT c.id = ANY ({}::uuid[])").format(
                _is_erased(kind, sql.SQL("c.id")),
                sql.Literal([str(t.id) for t in withdrawn if t.kind == kind]),
            ),
        )

    def _keep_out_others(self, copied: Copied) -> None:
        """What the copy says is the subject's, and is another: it hangs on nothing that tells."""
        self.keep_out(
            copied,
            "conflict",
            "it is not what was asked for",
            sql.SQL("c.{} <> {}").format(
                sql.Identifier(copied.table.key[0]), sql.Literal(self.scope.subject.id)
            ),
        )

    def _keep_out_of_other_families(self, copied: Copied) -> None:
        """What leads to another family now than it did in the copy: nobody shows it to that one."""
        columns = (*copied.table.key, *(name for way in copied.ways for name in way[0].columns))
        live = sql.SQL("SELECT FROM {} AS l WHERE {}").format(
            self.live.rows(copied.table, tuple(dict.fromkeys(columns))), copied.same_key()
        )
        keep_out_each(
            self.connection,
            copied,
            "conflict",
            [
                (
                    "it is another family's now than in the copy"
                    if len(way) == 1
                    else f"its {_called_parent(way[0])} is another family's now than in the copy",
                    others_now(self.live, way, number, live),
                )
                for number, way in enumerate(copied.ways, start=1)
            ],
        )

    def _keep_out_all_orphans(self) -> None:
        """Of every table; in a circle, what stays out may be what an earlier one refers to."""
        while sum(map(self._keep_out_orphans, self.copied.values())) and self.scope.late:
            pass

    def _keep_out_orphans(self, copied: Copied) -> int:
        """Rows that refer to what is not here and is not brought back either; how many."""
        out = 0
        for key in self.live.catalog.foreign_keys:
            if key.child == copied.table.name:
                while found := self._keep_out_orphans_of(copied, key):
                    out += found
                    if key.parent != key.child:
                        break
        return out

    def _keep_out_orphans_of(self, copied: Copied, key: ForeignKey) -> int:
        parent = SEGMENTS if key.parent == KEYS else key.parent
        brought = self.copied.get(parent)
        is_set = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT NULL").format(sql.Identifier("c", name)) for name in key.columns
        )
        lives = self._refers(sql.SQL("{} AS p").format(identifier(key.parent)), key)
        here = sql.SQL("EXISTS ({})").format(lives)
        if key in self.scope.owners[copied.table.name] and not is_shared(self.scope, copied.table):
            here = sql.SQL("({} AND {})").format(here, self._is_of_subject(copied, key))
        comes: sql.Composable = sql.SQL("false")
        if brought is not None:
            comes = sql.SQL("EXISTS ({} AND p.ft_writes AND p.ft_state = 'missing')").format(
                self._refers(sql.SQL("{} AS p").format(brought.rows), key)
            )
        orphan = sql.SQL("{} AND NOT {} AND NOT {}").format(is_set, here, comes)
        if not self._any(copied, orphan):
            return 0
        if key.on_delete == "n" or (copied.table.name, key.columns[0]) in _ONLY_MENTIONED:
            return self._drop_reference(copied, key, orphan)
        out = 0
        if brought is not None:
            for state, why in _REASONS.items():
                stays = sql.SQL("{} AND EXISTS ({} AND p.ft_state = {})").format(
                    orphan,
                    self._refers(sql.SQL("{} AS p").format(brought.rows), key),
                    sql.Literal(state),
                )
                out += self.keep_out(copied, state, why.format(_called(parent)), stays)
        if parent in KINDS and len(key.columns) == 1:
            erased = _is_erased(KINDS[parent], sql.Identifier("c", key.columns[0]))
            why = f"its {_called(parent)} was erased"
            out += self.keep_out(copied, "erased", why, sql.SQL("{} AND {}").format(orphan, erased))
        elsewhere = sql.SQL("{} AND EXISTS ({})").format(orphan, lives)
        why = f"its {_called(parent)} belongs to something outside of what is restored"
        out += self.keep_out(copied, "conflict", why, elsewhere)
        # One that came along has its own reason, or gets it when its table is gone through again.
        nowhere = orphan
        if brought is not None:
            nowhere = sql.SQL("{} AND NOT EXISTS ({})").format(
                orphan, self._refers(sql.SQL("{} AS p").format(brought.rows), key)
            )
        why = f"its {_called(parent)} is in neither database"
        return out + self.keep_out(copied, "blocked", why, nowhere)

    def _is_of_subject(self, copied: Copied, key: ForeignKey) -> sql.Composable:
        """A condition: what a row hangs on by this reference is the subject's.

        What a user has put on others' content is his, and hangs on what is not.
        """
        makers = (o for o in self.scope.owners[copied.table.name] if o.parent == USERS)
        owners = dict.fromkeys((key, *makers))
        return sql.SQL("({})").format(
            sql.SQL(" OR ").join(
                among(
                    "c",
                    owner,
                    self.scope.catalog.tables[owner.parent],
                    self.ids.get(owner.parent, ()),
                )
                for owner in owners
            )
        )

    def _any(self, copied: Copied, condition: sql.Composable) -> bool:
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} AS c WHERE c.ft_writes AND {})")
        row = self.connection.execute(query.format(copied.rows, condition)).fetchone()
        return row == (True,)

    def _refers(self, parent: sql.Composable, key: ForeignKey) -> sql.Composable:
        """A query for the rows ``p`` that ``c`` refers to, open for more conditions."""
        pairs = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(sql.Identifier("p", there), sql.Identifier("c", here))
            for here, there in zip(key.columns, key.referenced, strict=True)
        )
        return sql.SQL("SELECT FROM {} WHERE {}").format(parent, pairs)

    def _drop_reference(self, copied: Copied, key: ForeignKey, orphan: sql.Composable) -> int:
        columns = sql.SQL(", ").join(
            sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in key.columns
        )
        self.connection.execute(
            statement("restore/drop_reference").format(
                rows=copied.rows, columns=columns, condition=orphan
            )
        )
        return 0


_REASONS: Final = {
    "erased": "its {} was erased",
    "archived": "its {} is in the archive",
    "removed": "its {} was taken away since",
    "conflict": "its {} is in conflict",
    "blocked": "its {} can't be restored",
}


def _is_erased(kind: str, column: sql.Composable) -> sql.Composable:
    return statement("restore/is_erased").format(kind=sql.Literal(kind), id=column)


def _called_parent(key: ForeignKey) -> str:
    return _called(SEGMENTS if key.parent == KEYS else key.parent)


def _called(table: str) -> str:
    return KINDS.get(table, table.removeprefix("public."))
