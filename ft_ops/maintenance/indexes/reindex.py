"""One REINDEX INDEX CONCURRENTLY, watched while it runs, and checked by amcheck after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
from psycopg import sql

from ft_ops.maintenance.indexes.bloat import extension_schema
from ft_ops.maintenance.indexes.catalog import IndexState
from ft_ops.maintenance.indexes.leftovers import index_now
from ft_ops.maintenance.indexes.rebuild_monitor import Watched, watch_rebuild
from ft_ops.pg.application import Canary
from ft_ops.pg.connect import Connection, takes_statements
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

_CANCEL_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was seen of a REINDEX, and its error, unless it was asked to stop."""

    watched: Watched
    error: psycopg.Error | None


def reindex(
    connection: Connection,
    beside: Connection,
    index: sql.Identifier,
    canary: Canary,
    log: Callable[[str], None],
) -> Reindexed:
    """Run REINDEX in a thread and watch it from this one.

    An interrupt of this thread ends it too.
    """
    query = statement("maintenance/reindex").format(index=index)
    cancel = partial(connection.cancel_safe, timeout=_CANCEL_SECONDS)
    with ThreadPoolExecutor(max_workers=1) as thread:
        running = thread.submit(connection.execute, query)
        try:
            watched = watch_rebuild(
                beside,
                connection.info.backend_pid,
                canary,
                is_done=lambda seconds: bool(wait([running], timeout=seconds).done),
                stop=cancel,
                log=log,
            )
        finally:
            if not running.done():
                cancel()
    try:
        running.result()
    except psycopg.errors.QueryCanceled as error:
        return Reindexed(watched, None if watched.stopped else error)
    except psycopg.Error as error:
        return Reindexed(watched, error)
    return Reindexed(watched, None)


def corruption(connection: Connection, index: IndexState) -> str | None:
    """What amcheck finds wrong with a btree; None when nothing, or where it can't be used."""
    now = index_now(connection, index.schema, index.name)
    schema = extension_schema(connection, "amcheck", "bt_index_check")
    if now is None or schema is None or index.method != "btree":
        return None
    query = statement("maintenance/check_btree").format(
        function=sql.Identifier(schema, "bt_index_check")
    )
    try:
        connection.execute(query, {"index": now.oid})
    except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
        return f"amcheck: {str(error).strip()}"
    return None


@contextmanager
def session_settings(connection: Connection, values: Mapping[str, str]) -> Iterator[None]:
    """Set the session's ``values`` for a block, and put the old ones back."""
    before = {
        name: one_row(connection.execute("SELECT current_setting(%s)", (name,)))[0]
        for name in values
    }
    for name, value in values.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    try:
        yield
    finally:
        if takes_statements(connection):
            for name, value in before.items():
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
