"""`ops.archive`: what became of every archived month, generation by generation.

Each step writes what it is about to do before it acts, and what it did afterwards. A row whose
state ends in -ing after its run has ended is what a dead process left; the same step, run
again, finishes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from psycopg import sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from ft_ops.archive.month.content import Column, Source, TableColumns, live_source
from ft_ops.archive.month.digest import (
    BucketDigests,
    MonthDigests,
    buckets_from_json,
    buckets_to_json,
    without,
)
from ft_ops.archive.month.relation import Recorded, require_archived
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import StoredObject

State: TypeAlias = Literal[
    "archiving",
    "archived",
    "exporting",
    "exported",
    "proving",
    "proven",
    "freezing",
    "frozen",
    "purging",
    "purged",
    "superseded",
]


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """One Parquet object of a generation: which table, which part, how many rows."""

    table: str
    part: int
    rows: int
    stored: StoredObject


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of the ledger."""

    month: Month
    number: int
    state: State
    relation: Recorded | None
    columns: TableColumns | None
    objects: tuple[ArchivedObject, ...]
    manifest: StoredObject | None
    digests: MonthDigests | None
    departed_links: BucketDigests
    certificate: Mapping[str, object] | None
    purged_buckets: frozenset[int]
    archived_at: datetime | None
    exported_at: datetime | None
    proven_at: datetime | None
    frozen_at: datetime | None
    purged_at: datetime | None

    @property
    def name(self) -> str:
        return f"{self.month} generation {self.number}"

    @property
    def rows(self) -> dict[str, int]:
        """Archived rows by table."""
        counts: dict[str, int] = {}
        for item in self.objects:
            counts[item.table] = counts.get(item.table, 0) + item.rows
        return counts

    @property
    def bytes(self) -> int:
        return sum(item.stored.bytes for item in self.objects)

    def require_columns(self) -> TableColumns:
        """The columns that were exported; an OpsError before the export."""
        if self.columns is None:
            raise self._unfinished("names no columns")
        return self.columns

    def require_digests(self) -> MonthDigests:
        """The proven digests; an OpsError before the proof."""
        if self.digests is None:
            raise self._unfinished("holds no digest")
        return self.digests

    def remaining_digests(self) -> MonthDigests:
        """What the database must have: what was proven, less links that left with other months."""
        proven = self.require_digests()
        return {**proven, "content_links": without(proven["content_links"], self.departed_links)}

    def require_manifest(self) -> StoredObject:
        """Where the manifest is; an OpsError before the proof."""
        if self.manifest is None:
            raise self._unfinished("names no manifest")
        return self.manifest

    def _unfinished(self, missing: str) -> OpsError:
        return OpsError(
            f"archive of {self.name}",
            cause=f"the ledger {missing} for it, and its state is {self.state}",
            next_step="materialize content_archive for this month",
        )


_MOMENTS = ("archived_at", "exported_at", "proven_at", "frozen_at", "purged_at")
_OBJECTS = TypeAdapter(tuple[ArchivedObject, ...])
_STORED = TypeAdapter(StoredObject)
_COLUMNS = TypeAdapter(dict[str, tuple[Column, ...]])


def supersede(connection: Connection, generation: Generation, why: str, run_id: str) -> Generation:
    """Give a generation up, and open the next one for the same rows, in one transaction."""
    with connection.transaction():
        finish(connection, record_error(connection, generation, why), "superseded")
        following = begin_generation(connection, generation.month, "archiving", run_id)
        return finish(connection, following, "archived")


def month_source(connection: Connection, generation: Generation) -> Source:
    """Where the rows of a generation are in the database; Refused when its table is gone."""
    table = require_archived(
        connection,
        generation.month,
        generation.relation,
        what=f"archive of {generation.name}",
    )
    return live_source(table.identifier)


def generations(connection: Connection, month: Month) -> list[Generation]:
    """Every generation of a month, oldest first."""
    with connection.cursor(row_factory=kwargs_row(_generation)) as cursor:
        cursor.execute(statement("archive/generations"), {"month": month.first_day})
        return cursor.fetchall()


def latest(connection: Connection, month: Month) -> Generation | None:
    """The newest generation of a month, None when it was never archived."""
    found = generations(connection, month)
    return found[-1] if found else None


def all_latest(connection: Connection) -> list[Generation]:
    """The newest generation of every month in the ledger, by month."""
    with connection.cursor(row_factory=kwargs_row(_generation)) as cursor:
        return cursor.execute(statement("archive/latest_generations")).fetchall()


def months_by_state(connection: Connection, state: State) -> list[Month]:
    """The months that have a generation in a state, oldest first."""
    rows = connection.execute(statement("archive/months_by_state"), {"state": state}).fetchall()
    return [Month.of(month) for (month,) in rows]


def begin_generation(connection: Connection, month: Month, state: State, run_id: str) -> Generation:
    """Open the next generation of a month."""
    connection.execute(
        statement("archive/begin_generation"),
        {"month": month.first_day, "state": state, "run_id": run_id},
    )
    generation = latest(connection, month)
    assert generation is not None
    return generation


def enter(connection: Connection, generation: Generation, state: State, run_id: str) -> Generation:
    """Record that a step begins; the row is matched by the state that the caller has seen."""
    return _update(
        connection, generation, state, {"run_id": sql.Literal(run_id), "error": sql.SQL("NULL")}
    )


def finish(
    connection: Connection,
    generation: Generation,
    state: Literal["archived", "exported", "proven", "frozen", "purged", "superseded"],
) -> Generation:
    """Record that a step is done, and when."""
    moment = sql.SQL("clock_timestamp()")
    return _update(connection, generation, state, {f"{state}_at": moment})


def record_export(
    connection: Connection,
    generation: Generation,
    objects: tuple[ArchivedObject, ...],
    columns: TableColumns,
) -> Generation:
    """Record an export's objects, and the columns that they hold."""
    counts = {table: sum(o.rows for o in objects if o.table == table) for table in columns}
    return _update(
        connection,
        generation,
        "exported",
        {
            "objects": _json(_OBJECTS.dump_python(objects, mode="json")),
            "columns": _json(_COLUMNS.dump_python(dict(columns), mode="json")),
            "row_counts": _json(counts),
            "exported_at": sql.SQL("clock_timestamp()"),
        },
    )


def record_objects(
    connection: Connection, generation: Generation, objects: tuple[ArchivedObject, ...]
) -> Generation:
    """Record where the objects are now: their versions and storage classes."""
    return _update(
        connection,
        generation,
        generation.state,
        {"objects": _json(_OBJECTS.dump_python(objects, mode="json"))},
    )


def record_proof(
    connection: Connection,
    generation: Generation,
    digests: MonthDigests,
    manifest: StoredObject,
    certificate: Mapping[str, object],
) -> Generation:
    """Record a proof: the digests that both sides have, the manifest, and the certificate."""
    return _update(
        connection,
        generation,
        "proven",
        {
            "digests": _json(digests_to_json(digests)),
            "manifest": _json(_STORED.dump_python(manifest, mode="json")),
            "certificate": _json(dict(certificate)),
            "proven_at": sql.SQL("clock_timestamp()"),
        },
    )


def record_relation(
    connection: Connection, generation: Generation, relation: Recorded
) -> Generation:
    """Record which table holds the generation's rows."""
    return _update(
        connection,
        generation,
        generation.state,
        {"relation": sql.Literal(relation.oid), "relation_name": sql.Literal(relation.name)},
    )


def record_purged_bucket(connection: Connection, generation: Generation, bucket: int) -> None:
    """Record, in the transaction that removed it, that a bucket is gone from the database."""
    connection.execute(
        statement("archive/record_purged_bucket"),
        {
            "month": generation.month.first_day,
            "generation": generation.number,
            "bucket": bucket,
        },
    )


def record_error(connection: Connection, generation: Generation, error: str) -> Generation:
    """Keep a step's failure beside its state, for whoever reads the ledger first."""
    return _update(connection, generation, generation.state, {"error": sql.Literal(error)})


def digests_to_json(digests: MonthDigests) -> dict[str, dict[str, str]]:
    """Digests as the ledger keeps them."""
    return {table: buckets_to_json(buckets) for table, buckets in digests.items()}


def digests_from_json(data: Mapping[str, Mapping[str, str]]) -> MonthDigests:
    """The inverse of `digests_to_json`."""
    return {table: buckets_from_json(buckets) for table, buckets in data.items()}


def _update(
    connection: Connection,
    generation: Generation,
    state: State,
    columns: Mapping[str, sql.Composable],
) -> Generation:
    assignments = [sql.SQL("state = {}").format(sql.Literal(state))]
    assignments += [
        sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in columns.items()
    ]
    cursor = connection.execute(
        statement("archive/update_generation").format(assignments=sql.SQL(", ").join(assignments)),
        {
            "month": generation.month.first_day,
            "generation": generation.number,
            "seen_state": generation.state,
        },
    )
    if cursor.rowcount != 1:
        raise OpsError(
            f"archive of {generation.name}",
            cause=f"its state was {generation.state} a moment ago and is no longer",
            next_step="find the other run at work on this month, and run again after it",
        )
    current = [
        g for g in generations(connection, generation.month) if g.number == generation.number
    ]
    return current[0]


def _json(value: object) -> sql.Literal:
    return sql.Literal(Jsonb(value))


def _generation(**row: Any) -> Generation:
    # psycopg's kwargs_row: a row of archive/generations.sql, whose column types the table sets.
    return Generation(
        month=Month.of(row["month"]),
        number=row["generation"],
        state=row["state"],
        relation=row["relation"] and Recorded(row["relation"], row["relation_name"]),
        columns=row["columns"] and _COLUMNS.validate_python(row["columns"]),
        objects=_OBJECTS.validate_python(row["objects"]),
        manifest=row["manifest"] and _STORED.validate_python(row["manifest"]),
        digests=row["digests"] and digests_from_json(row["digests"]),
        departed_links=buckets_from_json(row["departed_links"]),
        certificate=row["certificate"],
        purged_buckets=frozenset(row["purged_buckets"]),
        **{name: row[name] for name in _MOMENTS},
    )
