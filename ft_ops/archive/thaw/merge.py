"""Brings all generations of a month back together: of each segment, its newest version.

A segment and what belongs to it are one unit. Where two generations hold the same segment, it
was exported again because it had changed, and the newer one has all of it; a narration that only
the older one knows was deleted in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from psycopg import sql

from ft_ops.archive.month.content import (
    TABLES,
    Source,
    TableColumns,
    column_list,
    live_columns,
    scratch_source,
    scratch_table,
)
from ft_ops.archive.month.digest import differences, month_digests
from ft_ops.archive.month.ledger import Generation
from ft_ops.archive.proof.load import Loaded, drop_scratch, loaded
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import WrongContent

_MERGED = 0
"""The generation number that stands for all of them in a scratch table's name."""


@contextmanager
def merged(
    connection: Connection,
    url: str,
    bucket: Bucket,
    generations: Sequence[Generation],
    *,
    purpose: str,
    log: Callable[[str], None] = lambda line: None,
) -> Iterator[Source]:
    """The month that ``generations`` (of one month) add up to, in scratch tables for a block.

    Each generation is proven again: WrongContent names the table whose rows are not those of its
    certificate.
    """
    month = generations[0].month
    target = scratch_source(purpose, month, _MERGED)
    drop_merged(connection, month, purpose=purpose)
    try:
        for table, name in zip(TABLES, _names(month, purpose), strict=True):
            connection.execute(
                statement("archive/create_merged").format(
                    scratch=sql.Identifier("ops", name), table=sql.Identifier("public", table)
                )
            )
        columns = live_columns(connection)
        for generation in sorted(generations, key=lambda g: g.number, reverse=True):
            with loaded(connection, url, bucket, generation, purpose=purpose, log=log) as copy:
                _refuse_unproven(connection, generation, copy)
                _add(connection, target, copy, columns)
        yield target
    finally:
        drop_merged(connection, month, purpose=purpose)


def drop_merged(connection: Connection, month: Month, *, purpose: str) -> None:
    """Drop what a run left that died with its merged month in scratch tables, if one did."""
    drop_scratch(connection, _names(month, purpose))


def _names(month: Month, purpose: str) -> list[str]:
    return [scratch_table(purpose, month, _MERGED, table) for table in TABLES]


def _refuse_unproven(connection: Connection, generation: Generation, copy: Loaded) -> None:
    problems = differences(
        generation.require_digests(), month_digests(connection, copy.source, copy.columns)
    )
    if problems:
        server = (generation.certificate or {}).get("software", {})
        raise WrongContent(
            f"archive of {generation.name}",
            cause=f"{'; '.join(problems)} (proven by {server})",
            next_step="if the server's major version differs, load it into one of that version; "
            "the objects' SHA-256 agree with the certificate",
        )


def _add(connection: Connection, target: Source, copy: Loaded, columns: TableColumns) -> None:
    """Add the segments that no newer generation has; children first, while that can be told.

    Columns are matched by name: one that came later takes its default, one that is gone stays in
    the archive.
    """
    parts = {f"part_{name}": relation for name, relation in copy.source.relations().items()}
    with connection.transaction():
        for table in reversed(TABLES):
            archived = {column.name for column in copy.columns[table]}
            shared = tuple(column for column in columns[table] if column.name in archived)
            connection.execute(
                statement(f"archive/merge_{table}").format(
                    columns=sql.SQL(", ").join(sql.Identifier(c.name) for c in shared),
                    part_columns=column_list(shared, "c"),
                    **parts,
                    **target.relations(),
                )
            )
    for relation in target.relations().values():
        connection.execute(sql.SQL("ANALYZE {}").format(relation))
