"""What the server refuses is not told as a connection that failed, and the other way round."""

from __future__ import annotations

import psycopg
import pytest

from ft_ops.errors import OpsError, explained
from ft_ops.pg.connect import Connection


@pytest.mark.parametrize(
    ("sqlstate", "cause", "next_step"),
    [
        ("53200", "is used up", "memory"),
        ("53400", "is used up", "temp_file_limit"),
        ("53300", "no connection left", "pg_stat_activity"),
        ("53100", "no room left", "make room"),
        ("23001", "lets nobody change it", "ft-ops hold list"),
        ("58030", "can't use its own files", "disks"),
        ("58P01", "can't use its own files", "disks"),
        ("40001", "told by a test", "see the cause"),
        ("55000", "told by a test", "see the cause"),
        ("55006", "told by a test", "see the cause"),
        ("57P01", "the connection failed", "finished by the next run"),
        ("08006", "the connection failed", "finished by the next run"),
    ],
)
def test_each_refusal_of_the_server_is_told_as_what_it_is(
    connection: Connection, sqlstate: str, cause: str, next_step: str
) -> None:
    with pytest.raises(OpsError) as told, explained("this step"), connection.transaction():
        connection.execute(
            f"DO $$ BEGIN RAISE 'told by a test' USING ERRCODE = '{sqlstate}'; END $$".encode()
        )
    assert cause in told.value.cause
    assert "told by a test" in told.value.cause
    assert next_step in told.value.next_step
    assert ("connection failed" in told.value.cause) == sqlstate.startswith(("57P", "08"))


def test_a_sort_that_may_not_have_its_files_names_the_limit(connection: Connection) -> None:
    with psycopg.connect(connection.info.dsn, user="postgres") as admin:
        admin.execute("SET temp_file_limit = '64kB'; SET work_mem = '64kB'")
        with (
            pytest.raises(OpsError, match="is used up: temporary file size exceeds"),
            explained("this step"),
        ):
            admin.execute("SELECT i FROM generate_series(1, 200000) AS i ORDER BY i % 7")
