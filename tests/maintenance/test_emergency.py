"""Near the end of transaction ids: what is old by design, what is not, and a remedy that works.

On a server of its own, whose autovacuum is off and which freezes by force at the lowest age that
there is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from ft_ops.errors import OpsError
from ft_ops.maintenance.tables.emergency import (
    Emergency,
    command_for,
    refuse_unfinished,
    vacuum_oldest,
)
from ft_ops.maintenance.tables.horizon import HorizonHolder
from ft_ops.maintenance.tables.messages import NOTHING_SAID
from ft_ops.maintenance.tables.need import table_states
from ft_ops.maintenance.tables.vacuum import _holders
from ft_ops.maintenance.tables.wraparound import Age, Wraparound, wraparound
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.test_vacuum import vacuum
from tests.maintenance.test_wraparound import LOWEST_LIMIT, burn_transaction_ids


@pytest.fixture(scope="session")
def template(migrated: Database) -> Database:
    """Many months, of which some are long closed."""
    return migrated


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
                "wal_level": "logical",
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


def here(connection: Connection) -> Age:
    return next(d for d in wraparound(connection).databases if d.name == connection.info.dbname)


def test_catalogs_and_whole_databases_live_at_up_to_the_limit_by_design(
    connection: Connection,
) -> None:
    emergency(connection, "pg_catalog.pg_class")
    burn_transaction_ids(connection, 80_000)
    vacuum(connection)
    found = wraparound(connection)
    mine = [age for age in found.tables if age.is_ours]
    catalogs = [age for age in found.tables if not age.is_ours and not age.is_temporary]
    assert max(age.share for age in mine) < 0.1
    assert max(age.share for age in catalogs) > 0.75
    assert {age.level for age in (*mine, *catalogs, here(connection))} == {"fine"}


def test_a_table_of_ours_at_that_age_was_missed_and_is_warned_of(connection: Connection) -> None:
    burn_transaction_ids(connection, 80_000)
    found = wraparound(connection)
    assert [age.level for age in found.tables if age.name == "letters"] == ["warn"]
    [problem] = [text for text in found.problems() if "letters" in text]
    assert problem.startswith("table letters is at 8")
    assert problem.endswith("launch vacuum_emergency")


def test_the_emergency_freezes_what_is_old_catalogs_too(connection: Connection) -> None:
    burn_transaction_ids(connection, 80_000)
    # Its ids are its session's affair, and would be the oldest of the database.
    connection.execute("DROP TABLE burnt")
    done = {o.table.qualified_name: o for o in emergency(connection).outcomes}
    assert done["public.letters"].result == "done"
    assert {o.result for o in done.values()} <= {"done", "nothing to do"}
    assert any(name.startswith("pg_catalog.") for name in done)
    assert here(connection).share < 0.5
    assert emergency(connection).outcomes == ()


def test_what_others_have_to_do_fails_the_run_with_the_command() -> None:
    old = Age("template0", 1, 1, 1.2, 0.0, is_ours=False, is_open=False)
    report = HorizonHolder("session 5 of app (report)", "end session 5", None, False, 1, 1, 1.0)
    slot = replace(report, name="slot", of_catalogs=True)
    found = Wraparound((old,), (), (replace(report, database="elsewhere"), slot, report))
    closed, held = found.problems()
    assert closed.startswith("database template0 is at 120% of the age that forces a freeze")
    assert closed.endswith("autovacuum has to: see whether it is on")
    assert held == "no vacuum gets beyond what is held by slot, 1 transactions old: end session 5"
    ours = Age("letters", 100, 1, 1.2, 0.0)
    for keeper, is_told in ((slot, False), (replace(report, age=41), False), (report, True)):
        found = Wraparound((), (ours,), (replace(keeper, age=keeper.age + 41 * is_told),))
        assert len(found.problems()) == 1 + is_told
    temporary = Age("pg_temp_3.t", 1, 1, 1.2, 0.0, is_ours=False, is_temporary=True)
    [words] = Wraparound((), (temporary,), ()).problems()
    assert words.endswith("only its session can vacuum it: end that session")
    told = Emergency(
        (), (), (command_for(old), command_for(replace(old, name="a b", is_open=True)))
    )
    with pytest.raises(OpsError) as refused:
        refuse_unfinished(told)
    assert (
        'database template0: as an administrator, ALTER DATABASE "template0" ALLOW_CONNECTIONS '
        "true; vacuumdb --freeze --dbname=template0; "
        'ALTER DATABASE "template0" ALLOW_CONNECTIONS false is needed'
    ) in str(refused.value)
    assert "vacuumdb --freeze --dbname='a b'" in str(refused.value)
    refuse_unfinished(Emergency((), ("session 5",), ()))


def test_a_vacuum_behind_an_old_horizon_is_done_and_its_holder_is_named(
    connection: Connection, aging: pg.Server
) -> None:
    url = aging.url(connection.info.dbname)
    with connect(url, application="a long report") as other, other.transaction():
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        burn_transaction_ids(connection, LOWEST_LIMIT + 20_000)
        outcome = vacuum(connection, "letters")["letters"]
        while "autovacuum is at work" in outcome.detail:
            outcome = vacuum(connection, "letters")["letters"]
        assert outcome.result == "done"
        assert "far in the past" in outcome.detail
        assert "(ft-ops a long report)" in outcome.held_back_by
        held = emergency(connection)
        assert "held back" in {o.result for o in held.outcomes}
        [letters] = [o for o in held.outcomes if o.table.name == "letters"]
        # A server that speaks another language tells no cutoff.
        silent = replace(letters, figures=NOTHING_SAID)
        assert len(_holders(connection, silent)) == 1
        roomy = replace(letters.table, freeze_limit=1e9)
        assert _holders(connection, replace(silent, table=roomy)) == ()
        with pytest.raises(OpsError, match=r"end session \d+ of postgres \(ft-ops a long report\)"):
            refuse_unfinished(held)
    assert "held back" not in {o.result for o in emergency(connection).outcomes}


def test_whoever_owns_the_oldest_id_is_named_and_nobody_who_only_repeats_it(
    connection: Connection, aging: pg.Server
) -> None:
    """A slot of logical changes holds catalogs alone, and a young session nothing of its own."""
    url = aging.url(connection.info.dbname)
    connection.execute("SELECT pg_create_logical_replication_slot('changes', 'pgoutput')")
    with connect(url, application="forgotten") as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO letters VALUES (2)")
        other.execute("PREPARE TRANSACTION 'a transfer'")
    try:
        with connect(url, application="repeats") as other, other.transaction():
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT 1")
            burn_transaction_ids(connection, LOWEST_LIMIT)
            with connect(url, application="young") as young, young.transaction():
                young.execute("INSERT INTO letters VALUES (3)")
                held = emergency(connection, "letters", "pg_catalog.pg_class")
        told = {o.table.name: list({h.remedy: h for h in o.holders}) for o in held.outcomes}
        name = connection.info.dbname
        transfer = (
            f"COMMIT PREPARED 'a transfer' or ROLLBACK PREPARED 'a transfer' in database {name}"
        )
        slot = "let the reader of replication slot changes connect, or drop the slot"
        assert told["letters"] == [transfer]
        assert told["pg_class"] == [transfer, f"{slot} if nobody needs it"]
        with pytest.raises(OpsError, match="Next: COMMIT PREPARED") as refused:
            refuse_unfinished(held)
        assert "session" not in str(refused.value)
    finally:
        connection.execute("ROLLBACK PREPARED 'a transfer'")
        connection.execute("SELECT pg_drop_replication_slot('changes')")
    assert emergency(connection, "letters").outcomes[0].result == "done"


def test_a_catalog_is_vacuumed_when_it_is_named(connection: Connection) -> None:
    outcome = vacuum(connection, "pg_catalog.pg_aggregate")["pg_aggregate"]
    assert outcome.result == "done"
    assert not any(plan.is_servers for plan in table_states(connection) if plan.name == "letters")
    assert emergency(connection, "pg_catalog.pg_proc").outcomes[0].result == "done"
    with pytest.raises(OpsError, match="no table of that name exists"):
        emergency(connection, "pg_catalog.pg_nothing")
