"""Near the end of transaction ids: what is old by design, what is not, and a remedy that works.

On a server of its own, whose autovacuum is off and which freezes by force at the lowest age that
there is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.emergency import Emergency, refuse_unfinished, vacuum_oldest
from ft_ops.maintenance.tables.need import table_states
from ft_ops.maintenance.tables.wraparound import wraparound
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from tests.maintenance.test_vacuum import vacuum
from tests.maintenance.test_wraparound import LOWEST_LIMIT, burn_transaction_ids


@pytest.fixture(scope="module")
def aging() -> Iterator[pg.Server]:
    with TemporaryDirectory(prefix="ft-aging-") as name:
        root = Path(name)
        root.chmod(0o711)
        made = pg.Server(
            bin_dir=pg.reachable_binaries(pg.embedded_binaries(), root / "programs"),
            data_dir=root / "data",
            socket_dir=root / "run",
        )
        pg.initialise(made)
        pg.configure(
            made,
            {
                "autovacuum": "off",
                "autovacuum_freeze_max_age": str(LOWEST_LIMIT),
                "fsync": "off",
                "max_prepared_transactions": "2",
            },
        )
        with pg.running(made):
            yield made


@pytest.fixture
def connection(aging: pg.Server, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A database of its own, with a table."""
    name = f"aging_{abs(hash(request.node.name))}"
    with psycopg.connect(aging.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            with connect(aging.url(name), application="tests") as opened:
                opened.execute("CREATE TABLE letters AS SELECT 1 AS sender")
                opened.execute("VACUUM (FREEZE) letters")
                yield opened
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def emergency(connection: Connection, *named: str) -> Emergency:
    return vacuum_oldest(connection, named, deadline=time.monotonic() + 60)


def oldest(connection: Connection) -> float:
    here = next(d for d in wraparound(connection).databases if d.name == connection.info.dbname)
    return here.share


def test_catalogs_and_whole_databases_live_at_up_to_the_limit_by_design(
    connection: Connection,
) -> None:
    emergency(connection)
    while oldest(connection) < 0.8:
        burn_transaction_ids(connection, 10_000)
    vacuum(connection)
    found = wraparound(connection)
    mine = [age for age in found.tables if age.is_ours]
    catalogs = [age for age in found.tables if not age.is_ours]
    assert max(age.share for age in mine) < 0.1
    assert min(age.share for age in catalogs) > 0.75
    assert {age.level for age in (*found.tables, *found.databases) if age.share <= 1} == {"fine"}
    assert all("template" not in problem for problem in found.problems()) or any(
        age.share > 1.1 for age in found.databases
    )


def test_a_table_of_ours_at_that_age_was_missed_and_is_warned_of(connection: Connection) -> None:
    while oldest(connection) < 0.8:
        burn_transaction_ids(connection, 10_000)
    [mine] = [age for age in wraparound(connection).tables if age.is_ours]
    if mine.share < 0.75:
        burn_transaction_ids(connection, 80_000)
    found = wraparound(connection)
    assert found.level != "fine"
    assert any(p.startswith("table letters is at") for p in found.problems())
    assert all("launch vacuum_emergency" in p for p in found.problems() if "table" in p)


def test_the_emergency_freezes_catalogs_too_and_tells_of_databases_that_are_closed(
    connection: Connection,
) -> None:
    while oldest(connection) < 1.2:
        burn_transaction_ids(connection, 20_000)
    found = wraparound(connection)
    assert any("template0" in p and "autovacuum has to" in p for p in found.problems())
    done = emergency(connection)
    by_name = {o.table.qualified_name: o for o in done.outcomes}
    assert by_name["pg_catalog.pg_class"].result == "done"
    assert by_name["public.letters"].result == "done"
    # A temporary table's ids are its session's affair, and are told.
    burn_transaction_ids(connection, 15_000)
    assert any("burnt" in p and "end that session" in p for p in wraparound(connection).problems())
    connection.execute("DROP TABLE burnt")
    emergency(connection, "pg_catalog.pg_class")
    assert oldest(connection) < 0.5
    assert {age.level for age in wraparound(connection).tables} == {"fine"}
    [command] = [text for text in done.elsewhere if "template0" in text]
    assert 'ALTER DATABASE "template0" ALLOW_CONNECTIONS true' in command
    with pytest.raises(OpsError, match="database template0: as an administrator"):
        refuse_unfinished(done)
    assert [o for o in emergency(connection).outcomes if o.result != "nothing to do"] == []


def test_a_vacuum_behind_an_old_horizon_is_done_and_its_holder_is_named(
    connection: Connection, aging: pg.Server
) -> None:
    url = aging.url(connection.info.dbname)
    with connect(url, application="a long report") as other, other.transaction():
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        burn_transaction_ids(connection, LOWEST_LIMIT + 20_000)
        outcome = vacuum(connection, "letters")["letters"]
        assert outcome.result == "done"
        assert "far in the past" in outcome.detail
        assert "(ft-ops a long report)" in outcome.held_back_by
        held = emergency(connection)
        assert "held back" in {o.result for o in held.outcomes}
        with pytest.raises(OpsError, match=r"end session \d+ of postgres \(ft-ops a long report\)"):
            refuse_unfinished(held)
    assert "held back" not in {o.result for o in emergency(connection).outcomes}


def test_a_catalog_is_vacuumed_when_it_is_named(connection: Connection) -> None:
    outcome = vacuum(connection, "pg_catalog.pg_aggregate")["pg_aggregate"]
    assert outcome.result == "done"
    assert not any(plan.is_servers for plan in table_states(connection) if plan.name == "letters")
    assert emergency(connection, "pg_catalog.pg_proc").outcomes[0].result == "done"
    with pytest.raises(OpsError, match="no table of that name exists"):
        emergency(connection, "pg_catalog.pg_nothing")
