"""`ops.archive`: what became of every archived month, generation by generation.

Each step writes what it is about to do before it acts, and what it did afterwards. A row whose
state ends in -ing after its run has ended is what a dead process left; the same step, run
again, finishes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from psycopg import sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb

from ft_ops.archive.month.content import Content, content_to_json
from ft_ops.archive.month.digest import MonthDigests
from ft_ops.archive.month.generation import (
    OBJECTS,
    STORED,
    ArchivedObject,
    Generation,
    Read,
    digests_to_json,
    generation_of_row,
)
from ft_ops.archive.month.relation import Recorded, Relation, require_archived
from ft_ops.archive.month.source import Source, live_source
from ft_ops.archive.month.states import Ledger, Origin, State
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.objects import StoredObject


def generations(
    connection: Connection, month: Month, ledger: Ledger = "archive"
) -> list[Generation]:
    """Every generation of a month, oldest first."""
    query = statement("archive/generations").format(ledger=sql.Identifier("ops", ledger))
    with connection.cursor(row_factory=kwargs_row(partial(generation_of_row, ledger))) as cursor:
        return cursor.execute(query, {"month": month.first_day}).fetchall()


def latest(connection: Connection, month: Month, ledger: Ledger = "archive") -> Generation | None:
    """The newest generation of a month, None when it was never archived."""
    found = generations(connection, month, ledger)
    return found[-1] if found else None


def newest_first(connection: Connection, some: Sequence[Generation]) -> list[Generation]:
    """Some generations of one month, those with the newest rows first.

    By their numbers, which no clock sets back. An erasure's holds the rows of those that it has
    replaced, though it was written later than others.
    """
    if not some:
        return []
    known = generations(connection, some[0].month)

    def rank(generation: Generation) -> int:
        made_of = [
            rank(other)
            for other in known
            if other.replaced_by == generation.number and other.number < generation.number
        ]
        is_rewritten = generation.origin == "erasure" and made_of
        return max(made_of) if is_rewritten else generation.number

    return sorted(some, key=rank, reverse=True)


def in_database(
    connection: Connection, month: Month, ledger: Ledger = "archive"
) -> Generation | None:
    """The generation of a month whose rows are in the database; there is one at most."""
    found = reversed(generations(connection, month, ledger))
    return next((g for g in found if g.is_in_database), None)


def all_latest(connection: Connection) -> list[Generation]:
    """The newest generation of every month in the ledger, by month."""
    with connection.cursor(row_factory=kwargs_row(generation_of_row)) as cursor:
        return cursor.execute(statement("archive/latest_generations")).fetchall()


def months_by_state(
    connection: Connection, states: Iterable[State], ledger: Ledger = "archive"
) -> list[Month]:
    """The months that have a generation in one of some states, oldest first."""
    query = statement("archive/months_by_state").format(ledger=sql.Identifier("ops", ledger))
    rows = connection.execute(query, {"states": sorted(states)})
    return [Month.of(month) for (month,) in rows]


def months_with_leftovers(connection: Connection, ledger: Ledger = "archive") -> list[Month]:
    """The months of which versions are left that could not be removed so far."""
    query = statement("archive/months_with_leftovers").format(ledger=sql.Identifier("ops", ledger))
    rows = connection.execute(query)
    return [Month.of(month) for (month,) in rows]


def month_source(connection: Connection, generation: Generation, content: Content) -> Source:
    """Where the rows of a generation are in the database; Refused when its table is gone."""
    return live_source(content, month_table(connection, generation).identifier)


def month_table(connection: Connection, generation: Generation) -> Relation:
    """The table that holds a generation's segments; Refused when it is gone."""
    what = f"archive of {generation.name}"
    return require_archived(connection, generation.month, generation.relation, what=what)


def begin_generation(
    connection: Connection,
    month: Month,
    run_id: str,
    *,
    origin: Origin = "database",
    ledger: Ledger = "archive",
) -> Generation:
    """Open the next generation of a month: its move has begun."""
    values = {"month": month.first_day, "origin": origin, "run_id": run_id}
    query = statement("archive/begin_generation").format(ledger=sql.Identifier("ops", ledger))
    connection.execute(query, values)
    generation = latest(connection, month, ledger)
    assert generation is not None
    return generation


def open_archived(
    connection: Connection, month: Month, table: Relation | None, run_id: str
) -> Generation:
    """Open the next generation of rows that are in the archive's table already.

    Without a table it is a generation that an erasure writes.
    """
    origin: Origin = "erasure" if table is None else "database"
    generation = begin_generation(connection, month, run_id, origin=origin)
    if table is not None:
        generation = record_relation(connection, generation, table.recorded)
    return finish(connection, generation, "archived")


def supersede(connection: Connection, generation: Generation, why: str, run_id: str) -> Generation:
    """Give a generation up, and open the next one for the same rows, in one transaction."""
    with connection.transaction():
        origin, ledger = generation.origin, generation.ledger
        following = begin_generation(
            connection, generation.month, run_id, origin=origin, ledger=ledger
        )
        if generation.relation is not None:
            following = record_relation(connection, following, generation.relation)
        record_replaced(connection, record_error(connection, generation, why), following)
        return finish(connection, following, "archived")


def record_replaced(connection: Connection, generation: Generation, by: Generation) -> Generation:
    """Record that another generation takes over: this one's objects may go once that is frozen."""
    return _update(
        connection,
        generation,
        "superseded",
        {
            "replaced_by": sql.Literal(by.number),
            "superseded_at": sql.SQL("clock_timestamp()"),
        },
    )


def record_successor(
    connection: Connection, generation: Generation, following: Generation | None
) -> Generation:
    """Record which generation will replace another one; None if none will."""
    number = sql.Literal(None if following is None else following.number)
    return _update(connection, generation, generation.state, {"replaced_by": number})


def enter(connection: Connection, generation: Generation, state: State, run_id: str) -> Generation:
    """Record that a step begins; the row is matched by the state that the caller has seen."""
    return _update(
        connection, generation, state, {"run_id": sql.Literal(run_id), "error": sql.SQL("NULL")}
    )


def finish(
    connection: Connection,
    generation: Generation,
    state: Literal["archived", "exported", "proven", "frozen", "purged"],
) -> Generation:
    """Record that a step is done, and when."""
    columns: dict[str, sql.Composable] = {f"{state}_at": sql.SQL("clock_timestamp()")}
    if state == "purged":
        # The database takes the end of a purge from nobody who leaves it there how far it came.
        columns["purged_through"] = sql.SQL("NULL")
    return _update(connection, generation, state, columns)


def record_export(
    connection: Connection,
    generation: Generation,
    objects: tuple[ArchivedObject, ...],
    content: Content,
    read: Read,
    sha256: Mapping[str, str],
) -> Generation:
    """Record an export's objects, what tables and columns they hold, as of when, and digests."""
    counts = {name: sum(o.rows for o in objects if o.table == name) for name in content.names}
    return _update(
        connection,
        generation,
        "exported",
        {
            "objects": _json(OBJECTS.dump_python(objects, mode="json")),
            "content": _json(content_to_json(content)),
            "row_counts": _json(counts),
            "sha256": _json(dict(sha256)),
            "as_of": sql.Literal(read.as_of),
            "sequence": sql.Literal(read.sequence),
            "exported_at": sql.SQL("clock_timestamp()"),
        },
    )


def record_objects(
    connection: Connection, generation: Generation, objects: Sequence[ArchivedObject]
) -> Generation:
    """Record where the objects are now: their versions and storage classes."""
    columns = {"objects": _json(OBJECTS.dump_python(tuple(objects), mode="json"))}
    return _update(connection, generation, generation.state, columns)


def record_found(
    connection: Connection, generation: Generation, found: Mapping[str, StoredObject]
) -> Generation:
    """Record under which versions objects are found, by key: the same bytes as before."""
    objects = tuple(
        replace(o, stored=found.get(o.stored.key, o.stored)) for o in generation.objects
    )
    columns = {"objects": _json(OBJECTS.dump_python(objects, mode="json"))}
    manifest = generation.require_manifest()
    if manifest.key in found:
        columns["manifest"] = _json(STORED.dump_python(found[manifest.key], mode="json"))
    return _update(connection, generation, generation.state, columns)


def record_proof(
    connection: Connection,
    generation: Generation,
    objects: Sequence[ArchivedObject],
    digests: MonthDigests,
    manifest: StoredObject,
    certificate: Mapping[str, object],
    sha256: Mapping[str, str],
) -> Generation:
    """Record a proof: digests that both sides have, lists of units, manifest, and certificate."""
    return _update(
        connection,
        generation,
        "proven",
        {
            "objects": _json(OBJECTS.dump_python(tuple(objects), mode="json")),
            "digests": _json(digests_to_json(digests)),
            "manifest": _json(STORED.dump_python(manifest, mode="json")),
            "certificate": _json(dict(certificate)),
            "sha256": _json(dict(sha256)),
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


def record_untouched(connection: Connection, generation: Generation) -> Generation:
    """Record that a purge ended before it removed anything: the generation is what it was."""
    nothing = {"purged_buckets": sql.SQL("'{}'"), "purged_through": sql.SQL("NULL")}
    return _update(connection, generation, "frozen", nothing)


def record_leftover(
    connection: Connection, generation: Generation, key: str, version_id: str
) -> Generation:
    """Record a version that another one replaces and that can't be removed yet."""
    leftover = Jsonb([{"key": key, "version_id": version_id}])
    columns = {"leftovers": sql.SQL("leftovers || {}").format(sql.Literal(leftover))}
    return _update(connection, generation, generation.state, columns)


def forget_leftovers(connection: Connection, generation: Generation) -> Generation:
    """Record that every version which was left is gone."""
    return _update(connection, generation, generation.state, {"leftovers": sql.SQL("'[]'")})


def record_error(connection: Connection, generation: Generation, error: str) -> Generation:
    """Keep a step's failure beside its state, for whoever reads the ledger first."""
    return _update(connection, generation, generation.state, {"error": sql.Literal(error)})


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
    ledger = generation.ledger
    with connection.cursor(row_factory=kwargs_row(partial(generation_of_row, ledger))) as cursor:
        # Without parameters: beside them a % in a name, an expression or an error would be one.
        cursor.execute(
            statement("archive/update_generation").format(
                ledger=sql.Identifier("ops", ledger),
                assignments=sql.SQL(", ").join(assignments),
                month=sql.Literal(generation.month.first_day),
                generation=sql.Literal(generation.number),
                seen_state=sql.Literal(generation.state),
            )
        )
        updated = cursor.fetchone()
    if updated is None:
        raise OpsError(
            f"archive of {generation.name}",
            cause=f"its state was {generation.state} a moment ago and is no longer",
            next_step="find the other run at work on this month, and run again after it",
        )
    return updated


def _json(value: object) -> sql.Literal:
    return sql.Literal(Jsonb(value))
