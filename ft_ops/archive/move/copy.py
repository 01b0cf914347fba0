"""Copies rows of a table that stands alone into a new one of the archive's shape of today."""

from __future__ import annotations

from psycopg import sql

from ft_ops.archive.month.catalog import describe_table
from ft_ops.archive.month.content import ARCHIVED, HOT, CheckConstraint, Table, bounds
from ft_ops.archive.month.evolution import Becoming, becoming, read_evolution
from ft_ops.archive.month.relation import Relation, named_relation
from ft_ops.archive.move.portion import Portion, TooLong
from ft_ops.archive.move.renewed import follow_renewed, note_columns
from ft_ops.archive.run import Run
from ft_ops.months import Month
from ft_ops.partitions import kept_to_owner
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement

BATCH_ROWS = 500
"""Rows copied in one statement, at most, which keeps their threads from deletion until it ends."""


def copy_alone(
    run: Run, month: Month, table: Relation, rows: sql.Composable | None, what: str
) -> Relation:
    """A new table in the schema ops with ``rows`` of ``table``; with None it stays empty.

    The foreign keys, whose creation locks threads and users for an instant, come before the rows:
    a thread that is deleted from then on takes its rows from both tables. What a dead run left of
    such a copy is dropped first: its rows are all still in the table that it was copied from.
    """
    kept = _name(month)
    shape = {"kept": kept, "parent": sql.Identifier(ARCHIVED), **bounds(month)}
    if rows is not None:
        follow_renewed(run, table, what)

    def create() -> None:
        with run.connection.transaction():
            run.connection.execute(statement("archive/drop_kept").format(kept=kept))
            run.connection.execute(statement("archive/create_kept").format(**shape))
            run.connection.execute(kept_to_owner(kept))
            made = named_relation(run.connection, _bare(month), schema="ops")
            assert made is not None
            note_columns(run.connection, made.oid, ARCHIVED)
            loosen(run, kept)

    with_escalating_lock_timeout(run.connection, what, create, sleep=run.sleep)
    if rows is not None:
        own = describe_table(run.connection, table.oid)
        becomes = becoming(
            own, parent_of_months(run), read_evolution(run.connection), run.clock(), what=what
        )
        _copy_rows(run, table, rows, kept, becomes, what)
    for check in _not_valid(run):
        run.connection.execute(
            statement("archive/add_check_not_valid").format(
                table=kept,
                name=sql.Identifier(check.name),
                definition=sql.SQL(check.definition),
            )
        )
    copy = named_relation(run.connection, _bare(month), schema="ops")
    assert copy is not None
    return copy


def _copy_rows(
    run: Run,
    table: Relation,
    rows: sql.Composable,
    kept: sql.Identifier,
    becomes: Becoming,
    what: str,
) -> None:
    """Copy rows in small batches: who deletes a thread waits for no more than one of them.

    A row without its thread or its user is passed over. Who deleted those goes on to the row; or it
    is missed when the copy is counted.
    """
    connection = run.connection
    connection.execute(statement("archive/drop_listed"))
    connection.execute(statement("archive/list_rows").format(rows=rows))
    for step in ("archive/index_listed", "archive/analyze_listed"):
        connection.execute(statement(step))
    [[number]] = connection.execute(statement("archive/count_listed")).fetchall()
    portion = Portion(BATCH_ROWS)
    behind = 0
    while behind < number:
        rows_now = min(portion.rows, number - behind)
        # No parameters: a column may have a per cent sign in its name.
        batch = statement("archive/copy_kept").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, becomes.columns)),
            values=sql.SQL(", ").join(becomes.values),
            table=table.identifier,
            kept=kept,
            behind=sql.Literal(behind),
            through=sql.Literal(behind + rows_now),
        )
        try:
            _copy_batch(run, portion, rows_now, batch, what)
            behind += rows_now
        except TooLong:
            portion.halve(rows_now)
    connection.execute(statement("archive/drop_listed"))


def _copy_batch(run: Run, portion: Portion, rows: int, batch: sql.Composed, what: str) -> None:
    def copy() -> None:
        with run.connection.transaction(), portion.locked(run.connection, rows):
            run.connection.execute(batch)

    with_escalating_lock_timeout(run.connection, what, copy, sleep=run.sleep)


def loosen(run: Run, table: sql.Identifier) -> None:
    """Drop those constraints of a new table that are NOT VALID at its parent.

    They hold for new rows, and not for those of the time before them, which come in now. A table
    gets them back, as NOT VALID, before it is attached.
    """
    for check in _not_valid(run):
        run.connection.execute(
            statement("archive/drop_check").format(table=table, name=sql.Identifier(check.name))
        )


def _not_valid(run: Run) -> list[CheckConstraint]:
    return [check for check in parent_of_months(run).checks if not check.valid]


def drop_copy(run: Run, month: Month, what: str) -> None:
    """Drop the copy that a dead run left, if it left one."""
    with_escalating_lock_timeout(
        run.connection,
        what,
        lambda: run.connection.execute(statement("archive/drop_kept").format(kept=_name(month))),
        sleep=run.sleep,
    )


def let_vacuum(connection: Connection, copy: Relation) -> None:
    """Let autovacuum at a copy, in the transaction in which it takes its original's place."""
    connection.execute(statement("archive/let_vacuum").format(table=copy.identifier))


def parent_of_months(run: Run) -> Table:
    """The archive's parent as the catalog has it, under the name of the segments' table."""
    [[archived, _]] = run.connection.execute(statement("archive/segment_tables")).fetchall()
    parent = describe_table(run.connection, archived)
    return Table(
        HOT, "public", HOT, parent.columns, parent.key, (), parent.references, parent.checks
    )


def _bare(month: Month) -> str:
    return f"kept_{month.suffix}"


def _name(month: Month) -> sql.Identifier:
    return sql.Identifier("ops", _bare(month))
