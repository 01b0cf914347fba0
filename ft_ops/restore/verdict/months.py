"""Where a copied segment's month is now: in a table, between two, or in the archive alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql

from ft_ops.months import Month
from ft_ops.pg.catalog import partitions_of
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.restore.read.graph import ARCHIVED, SEGMENTS
from ft_ops.restore.read.rows import Copied
from ft_ops.restore.verdict.keep_out import keep_out

_IN_ARCHIVE = "archive"
_BETWEEN = "between"


def place_segments(connection: Connection, segments: Copied) -> None:
    """Note of each row which table takes it; keep out those whose month none takes."""
    places = list(_places(connection))
    connection.execute(
        statement("restore/place_segments").format(rows=segments.rows),
        {
            "lowers": [month.start for month, _ in places],
            "uppers": [month.end for month, _ in places],
            "places": [place for _, place in places],
        },
    )
    for month, place in places:
        of_month = sql.SQL("c.created_at >= {} AND c.created_at < {}").format(
            sql.Literal(month.start), sql.Literal(month.end)
        )
        if place == _IN_ARCHIVE:
            _keep_archived(connection, segments, month, of_month)
        elif place == _BETWEEN:
            why = f"the table of {month} is being moved: run again once it is"
            keep_out(connection, segments, "blocked", why, of_month)
    _keep_reserved(connection, segments)
    keep_out(
        connection,
        segments,
        "blocked",
        "no partition takes its month: create_partitions makes it",
        sql.SQL("c.ft_state = 'missing' AND c.ft_place IS NULL"),
    )
    keep_out(
        connection,
        segments,
        "conflict",
        "its id is registered for another row",
        sql.SQL(
            "c.ft_state = 'missing'"
            " AND EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = c.id)"
        ),
    )


def _keep_archived(
    connection: Connection, segments: Copied, month: Month, of_month: sql.Composable
) -> None:
    why = f"{month} is in the archive: thaw that month"
    condition = sql.SQL("c.ft_state = 'missing' AND {}").format(of_month)
    keep_out(connection, segments, "archived", why, condition)


def _keep_reserved(connection: Connection, segments: Copied) -> None:
    """Ids and numbers that belong to segments which are in the archive alone."""
    if not _knows_reservations(connection):
        return
    reserved = "EXISTS (SELECT FROM ops.purged_segments AS p WHERE {})"
    keep_out(
        connection,
        segments,
        "archived",
        "it is in the archive: thaw its month",
        sql.SQL("c.ft_state = 'missing' AND " + reserved.format("p.id = c.id")),
    )
    keep_out(
        connection,
        segments,
        "conflict",
        "its number in the thread is that of a segment in the archive",
        sql.SQL(
            reserved.format(
                "p.thread_id = c.thread_id AND p.sequence_number = c.sequence_number"
                " AND p.id <> c.id"
            )
        ),
    )


def keep_reservations(copy: Connection, live: Connection, copied: Mapping[str, Copied]) -> None:
    """Reserve what the archive alone has of threads that come back, as it was: a thaw needs it.

    Their deletion has given these ids and numbers free. What was erased by itself stays so.
    """
    threads = copied.get("public.threads")
    if threads is None or not (_knows_reservations(copy) and _knows_reservations(live)):
        return
    back = live.execute(
        sql.SQL("SELECT id FROM {} WHERE ft_writes AND ft_state = 'missing'").format(threads.rows)
    ).fetchall()
    threads_back = {row[0] for row in back}
    told = copy.execute(
        "SELECT id, thread_id, sequence_number FROM ops.purged_segments WHERE thread_id = ANY (%s)",
        (list(threads_back),),
    ).fetchall()
    # A copy is asked, and not believed: what it says of other threads would close their numbers.
    reserved = [row for row in told if row[1] in threads_back]
    if reserved:
        ids, of_threads, numbers = (list(column) for column in zip(*reserved, strict=True))
        live.execute(
            "INSERT INTO ops.purged_segments (id, thread_id, sequence_number)"
            " SELECT v.* FROM unnest(%s::uuid[], %s::uuid[], %s::integer[])"
            " AS v (id, thread_id, sequence_number)"
            " WHERE NOT EXISTS (SELECT FROM content_segment_keys AS k WHERE k.id = v.id)"
            " AND NOT EXISTS (SELECT FROM ops.erasures AS e"
            " WHERE e.kind = 'segment' AND e.id = v.id)"
            " ON CONFLICT DO NOTHING",
            (ids, of_threads, numbers),
        )


def _knows_reservations(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('ops.purged_segments') IS NOT NULL").fetchone()
    return row == (True,)


def _places(connection: Connection) -> Iterator[tuple[Month, str]]:
    """What holds each month: a parent by its name, or one of the two words above."""
    parents = {
        name: {p.month: p.is_detaching for p in partitions_of(connection, name) if p.month}
        for name in (SEGMENTS, ARCHIVED)
    }
    in_archive = {
        Month.of(row[0]) for row in connection.execute(statement("restore/months_in_archive"))
    }
    alone = {
        Month.parse(name[-7:].replace("_", "-"))
        for (name,) in connection.execute(statement("restore/months_alone"))
        if name[-7:].replace("_", "").isdigit()
    }
    for month in sorted({*parents[SEGMENTS], *parents[ARCHIVED], *in_archive, *alone}):
        hot, archived = (parents[name].get(month) for name in (SEGMENTS, ARCHIVED))
        if month in alone or hot or archived:
            yield month, _BETWEEN
        elif month in in_archive and archived is None:
            yield month, _IN_ARCHIVE
        else:
            yield month, SEGMENTS if hot is not None else ARCHIVED
