"""A statement that always answers with a row is believed when it does, and an error when not."""

from __future__ import annotations

import pytest

from ft_ops.errors import OpsError
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from tests.fixtures.postgres import Database


def test_the_row_of_an_aggregate_is_there_over_no_rows_at_all(database: Database) -> None:
    with connect(database.url, application="test") as connection:
        assert one_row(connection.execute("SELECT count(*) FROM pg_class WHERE false")) == (0,)


def test_a_trigger_that_swallows_the_row_is_an_error_that_names_the_database(
    database: Database,
) -> None:
    """Not an assertion, which no report would explain, nor a wrong answer."""
    with connect(database.url, application="test") as connection:
        connection.execute("CREATE TEMPORARY TABLE kept (id bigint)")
        connection.execute(
            "CREATE FUNCTION pg_temp.lose() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'"
        )
        connection.execute(
            "CREATE TRIGGER lost BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION pg_temp.lose()"
        )
        inserted = connection.execute("INSERT INTO kept VALUES (1) RETURNING id")
        with pytest.raises(OpsError, match=rf"database {database.name}: .*none \(INSERT 0 0\)"):
            one_row(inserted)
