"""Fills tables faster than an application could, with rows that are known to be sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import conninfo

from ft_ops.pg.connect import Connection, connect


@contextmanager
def unchecked(url: str) -> Iterator[Connection]:
    """A connection that writes as a replica applies changes: no reference is checked.

    Nor does storage note what is inserted: a month that it has never counted counts as changed.
    Both would take longer than the writing.
    """
    noting = "TRIGGER note_inserted_content"
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(f"ALTER TABLE content_segments DISABLE {noting}")
        try:
            yield admin
        finally:
            admin.execute(f"ALTER TABLE content_segments ENABLE ALWAYS {noting}")
