"""The runner keeps sqlx's ledger and refuses what contradicts it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ft_ops.errors import Refused
from ft_ops.pg.connect import connect
from ft_ops.schema import load_migrations, migration_states, revert_migration, run_migrations
from tests.fixtures.postgres import Database


def test_every_migration_applies_reverts_and_applies_again(empty_database: Database) -> None:
    migrations = load_migrations()
    with connect(empty_database.url, application="tests") as connection:
        assert run_migrations(connection, migrations) == list(migrations)
        assert run_migrations(connection, migrations) == []
        for expected in reversed(migrations):
            assert revert_migration(connection, migrations) == expected
        assert revert_migration(connection, migrations) is None
        left = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE n.nspname IN ('public', 'ops') AND relkind IN ('r', 'p', 'v')"
            " AND relname <> '_sqlx_migrations' AND NOT EXISTS"
            " (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')"
        ).fetchall()
        assert left == []
        assert run_migrations(connection, migrations) == list(migrations)


def test_a_modified_migration_is_refused_in_sqlx_words(database: Database) -> None:
    first, *others = load_migrations()
    modified = [replace(first, checksum=b"other"), *others]
    with (
        connect(database.url, application="tests") as connection,
        pytest.raises(Refused, match="migration 1 was previously applied but has been modified"),
    ):
        run_migrations(connection, modified)


def test_a_missing_migration_is_refused_in_sqlx_words(database: Database) -> None:
    with (
        connect(database.url, application="tests") as connection,
        pytest.raises(
            Refused,
            match="migration 1 was previously applied but is missing in the resolved migrations",
        ),
    ):
        run_migrations(connection, load_migrations()[1:])


def test_states_name_what_is_pending(empty_database: Database) -> None:
    migrations = load_migrations()
    with connect(empty_database.url, application="tests") as connection:
        run_migrations(connection, migrations[:2])
        states = [state.state for state in migration_states(connection, migrations)]
    assert states == ["applied", "applied"] + ["pending"] * (len(migrations) - 2)
