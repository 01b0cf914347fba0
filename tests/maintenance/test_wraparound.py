"""Ages of transaction ids are read for every table, and judged by its own limit."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ft_ops.maintenance.tables.emergency import vacuum_oldest
from ft_ops.maintenance.tables.need import plan_tables, table_states
from ft_ops.maintenance.tables.wraparound import Age, Wraparound, wraparound
from ft_ops.pg.connect import Connection
from tests.fixtures.postgres import Database, half_dropped
from tests.maintenance.test_vacuum import NOW, vacuum

LOWEST_LIMIT = 100_000


def burn_transaction_ids(connection: Connection, count: int) -> None:
    """Each subtransaction that writes takes an id."""
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS burnt (id integer)")
    connection.execute(
        f"""
        DO $$
        BEGIN
            FOR number IN 1..{count} LOOP
                BEGIN
                    INSERT INTO burnt VALUES (1);
                    RAISE division_by_zero;
                EXCEPTION WHEN division_by_zero THEN NULL;
                END;
            END LOOP;
        END
        $$
        """
    )


def test_an_old_table_is_warned_of_then_frozen_by_the_next_vacuum(connection: Connection) -> None:
    connection.execute(
        f"CREATE TABLE old WITH (autovacuum_freeze_max_age = {LOWEST_LIMIT}) AS SELECT 1 AS id"
    )
    connection.execute("VACUUM ANALYZE old")
    # What is stored beside its rows has parameters of its own, in whatever way they are written.
    connection.execute("CREATE TABLE urgent (text text)")
    connection.execute("ALTER TABLE urgent SET (toast.autovacuum_freeze_max_age = '1e5')")
    assert wraparound(connection).level == "fine"
    burn_transaction_ids(connection, 80_000)
    found = wraparound(connection)
    assert [age.name for age in found.tables[:2]] == ["old", "urgent"]
    [urgent] = vacuum_oldest(connection, ("urgent",), deadline=time.monotonic() + 60).outcomes
    assert (urgent.table.name, urgent.result) == ("urgent", "done")
    assert urgent.table.age_share < 0.5
    found = wraparound(connection)
    assert found.level == "warn"
    assert found.tables[0].name == "old"
    assert found.tables[0].transaction_share == pytest.approx(0.8, abs=0.02)

    outcome = vacuum(connection)["old"]
    assert outcome.action.startswith("freeze")
    assert "transaction ids at 80%" in outcome.reasons[0]
    assert wraparound(connection).level == "fine"
    assert not [
        plan.reasons
        for plan in plan_tables(table_states(connection), (), NOW)
        if plan.table.name == "old" and plan.reasons
    ]


def test_the_oldest_of_all_ids_decides() -> None:
    young = Age("young", 1, 1, 0.01, 0.01)
    found = Wraparound(databases=(young,), tables=(young,), holders=())
    assert found.level == "fine"
    assert found.problems() == []
    assert replace(found, tables=(young, replace(young, multixact_share=0.75))).level == "warn"
    assert replace(found, tables=(young, replace(young, transaction_share=1.01))).level == "fail"


@pytest.mark.parametrize(
    ("share", "ours", "servers"),
    [
        (0.74, "fine", "fine"),
        (0.75, "warn", "fine"),
        (1.0, "warn", "fine"),
        (1.01, "fail", "fine"),
        (1.1, "fail", "warn"),
        (1.5, "fail", "warn"),
        (1.51, "fail", "fail"),
    ],
)
def test_what_is_autovacuums_may_live_up_to_the_limit(
    share: float, ours: str, servers: str
) -> None:
    age = Age("t", 1, 1, share, 0.0)
    assert age.level == ours
    assert replace(age, is_ours=False).level == servers


def test_an_age_at_which_vacuums_leave_all_else_undone_is_an_error_of_anybodys() -> None:
    age = Age("t", 1, 1, 0.5, 0.0, is_ours=False)
    assert replace(age, failsafe_share=0.99).level == "fine"
    assert replace(age, failsafe_share=1.0).level == "fail"


def test_every_database_of_the_server_is_read(connection: Connection) -> None:
    names = {age.name for age in wraparound(connection).databases}
    assert {"postgres", "template1", connection.info.dbname} <= names


def test_a_database_that_nobody_can_enter_and_no_vacuum_helps_has_no_age(
    database: Database, connection: Connection
) -> None:
    with half_dropped(database) as name:
        assert name not in {age.name for age in wraparound(connection).databases}
