"""Estimates come near what a rebuild makes of an index, and say so where they can't."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg import sql

from bench.index_bloat import CHURNS, observe
from ft_ops.maintenance.indexes.bloat import (
    Estimate,
    accuracy,
    confirm,
    estimate_indexes,
    extension_schema,
)
from ft_ops.pg.connect import Connection, connect
from tests.fixtures.postgres import Database
from tests.maintenance.tables import flush_counters, make_letters, settle, thin_out
from tests.maintenance.test_rebuild import rebuild


def estimates(connection: Connection, *, store: bool = True) -> dict[str, Estimate]:
    found = estimate_indexes(connection, chance=random.Random(1), store=store)
    return {estimate.index.name: estimate for estimate in found}


def test_estimates_come_near_the_size_after_a_rebuild(connection: Connection) -> None:
    churn = CHURNS["never vacuumed"]
    observations = observe(connection, churn, rows=25_000, chance=random.Random(1))
    # Below that, a single page is more than two points.
    certain = [o for o in observations if o.is_certain and o.bytes_before > 50 * 8192]
    errors = sorted(o.error_points for o in certain)
    assert len(errors) >= 15
    assert errors[len(errors) // 2] <= 1
    assert errors[int(len(errors) * 0.9)] <= 4
    assert not [o for o in observations if o.is_needless]


def test_an_estimate_is_kept_while_its_index_stands_still(connection: Connection) -> None:
    make_letters(connection)
    first = estimates(connection)["letters_sender"]
    connection.execute("UPDATE ops.index_estimates SET estimated_bytes = 4711")
    assert estimates(connection)["letters_sender"].estimated_bytes == 4711
    # Shorter values move neither its size nor its rows: only a vacuum empties pages.
    settle(connection, "letters")
    assert estimates(connection)["letters_sender"].estimated_bytes != 4711
    connection.execute("UPDATE ops.index_estimates SET estimated_bytes = 4711")
    thin_out(connection)
    again = estimates(connection)["letters_sender"]
    assert again.estimated_bytes not in {4711, None}
    assert again.reclaimable_share > 0.6 > first.reclaimable_share


def test_rows_of_an_heir_are_in_no_index_of_its_parent(connection: Connection) -> None:
    make_letters(connection)
    alone = estimates(connection, store=False)["letters_sender"]
    connection.execute("CREATE TABLE heir () INHERITS (letters)")
    connection.execute("INSERT INTO heir SELECT l.* FROM letters AS l, generate_series(1, 5)")
    settle(connection, "letters")
    beside = estimates(connection, store=False)["letters_sender"]
    assert beside.is_certain
    assert beside.estimated_bytes == pytest.approx(alone.estimated_bytes, rel=0.02)
    assert confirm(connection, beside, random.Random(1)).rows == 20_000


def test_a_dry_run_records_nothing(connection: Connection) -> None:
    make_letters(connection)
    estimates(connection, store=False)
    assert connection.execute("SELECT count(*) FROM ops.index_estimates").fetchone() == (0,)


def test_estimates_of_vanished_indexes_are_forgotten(connection: Connection) -> None:
    make_letters(connection)
    estimates(connection)
    connection.execute("DROP INDEX letters_sender")
    estimates(connection)
    left = connection.execute("SELECT index_name FROM ops.index_estimates").fetchall()
    assert ("letters_sender",) not in left
    assert ("letters_pkey",) in left


def test_hidden_rows_make_an_estimate_unknown_and_never_a_number(connection: Connection) -> None:
    make_letters(connection)
    connection.execute("ALTER TABLE letters ENABLE ROW LEVEL SECURITY")
    connection.execute("ALTER TABLE letters FORCE ROW LEVEL SECURITY")
    estimate = estimates(connection)["letters_sender"]
    if extension_schema(connection, "pgstattuple", "pgstatindex"):
        assert estimate.method == "density"
    else:
        assert estimate.estimated_bytes is None
        assert "row-level security" in (estimate.problem or "")
        assert estimate.reclaimable_bytes == 0


def test_rows_that_nobody_counted_make_an_estimate_unknown(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a integer) WITH (autovacuum_enabled = off)")
    connection.execute("CREATE INDEX t_some ON t (a) WHERE a > 5")
    connection.execute("INSERT INTO t SELECT generate_series(1, 5000)")
    flush_counters(connection)
    estimate = estimates(connection)["t_some"]
    assert estimate.method == "unknown"
    assert "never counted" in (estimate.problem or "")


def test_other_access_methods_are_compared_with_their_best_and_marked_uncertain(
    connection: Connection,
) -> None:
    connection.execute("CREATE TABLE notes (words text[]) WITH (autovacuum_enabled = off)")
    connection.execute(
        "CREATE INDEX notes_words ON notes USING gin (words) WITH (fastupdate = off)"
    )
    connection.execute(
        "INSERT INTO notes SELECT ARRAY[g::text, (g % 100)::text] FROM generate_series(1, 20000) g"
    )
    flush_counters(connection)
    connection.execute("VACUUM ANALYZE notes")
    first = estimates(connection)["notes_words"]
    assert (first.method, first.is_certain) == ("size ratio", False)
    assert first.reclaimable_share == 0
    connection.execute("DELETE FROM notes WHERE words[1]::integer % 4 <> 0")
    flush_counters(connection)
    connection.execute("VACUUM ANALYZE notes")
    second = estimates(connection)["notes_words"]
    assert second.reclaimable_share == pytest.approx(0.75, abs=0.05)


def test_a_name_is_as_short_in_an_index_as_it_is(connection: Connection) -> None:
    """Its 64 bytes in the table are a C string in the index."""
    connection.execute("CREATE TABLE tags (tag name) WITH (autovacuum_enabled = off)")
    connection.execute(
        "INSERT INTO tags SELECT 'n' || g FROM generate_series(1, 20000) AS g ORDER BY random()"
    )
    connection.execute("CREATE INDEX tags_tag ON tags (tag)")
    connection.execute("VACUUM ANALYZE tags")
    fresh = estimates(connection)["tags_tag"]
    assert fresh.is_certain
    assert abs(1 - (fresh.estimated_bytes or 0) / fresh.index.bytes) < 0.02


def test_long_keys_are_estimated_but_marked_as_unsure(connection: Connection) -> None:
    """Beyond some 500 bytes a value may be compressed on its way into the index."""
    connection.execute("CREATE TABLE pages (short text, long text) WITH (autovacuum_enabled = off)")
    connection.execute(
        "INSERT INTO pages SELECT repeat('ab', 245) || g, repeat('family tales ', 50) || g"
        " FROM generate_series(1, 5000) AS g"
    )
    connection.execute(
        "CREATE INDEX pages_short ON pages (short); CREATE INDEX pages_long ON pages (long);"
        "CREATE INDEX pages_left ON pages (left(long, 600))"
    )
    connection.execute("VACUUM ANALYZE pages")
    found = estimates(connection)
    certain = {name: found[name].is_certain for name in ("pages_short", "pages_long", "pages_left")}
    assert certain == {"pages_short": True, "pages_long": False, "pages_left": False}


def test_an_index_that_was_not_probed_is_not_called_certain(connection: Connection) -> None:
    make_letters(connection, rows=2_000)
    connection.execute("CREATE INDEX letters_rare ON letters (id) WHERE sender < 5")
    connection.execute("DELETE FROM letters WHERE sender > 200")
    flush_counters(connection)
    connection.execute("VACUUM ANALYZE letters")
    found = estimates(connection)
    assert found["letters_sender"].index.bytes <= 8 * 8192
    assert not found["letters_sender"].is_certain
    # A metapage and a root: it can't become smaller.
    assert found["letters_rare"].is_certain


@pytest.mark.parametrize(
    "name", ["per%cent %s %(x)s {curly} {0}", 'evil"; DROP TABLE users;--', "new\nline\r\ttab"]
)
def test_a_name_is_only_a_name(connection: Connection, database: Database, name: str) -> None:
    table = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE TABLE {0} ({0} bigint, b text) WITH (autovacuum_enabled = off)").format(
            table
        )
    )
    connection.execute(
        sql.SQL("INSERT INTO {} SELECT g, 'x' FROM generate_series(1, 20000) AS g").format(table)
    )
    index = sql.Identifier(f"{name} ix")
    connection.execute(sql.SQL("CREATE INDEX {} ON {} ({})").format(index, table, table))
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
    connection.execute(sql.SQL("DELETE FROM {} WHERE {} % 10 <> 0").format(table, table))
    flush_counters(connection)
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))
    estimate = estimates(connection)[f"{name} ix"]
    assert estimate.problem is None
    assert estimate.reclaimable_share > 0.8
    with connect(database.url, application="watching") as beside:
        assert rebuild(connection, beside)[f"{name} ix"].result == "rebuilt"


def test_stale_statistics_are_overruled_by_counting(connection: Connection) -> None:
    make_letters(connection)
    with connection.transaction():
        # What a transaction has done reaches the counters when it ends.
        connection.execute("DELETE FROM letters WHERE sender % 5 <> 0")
        estimate = estimates(connection)["letters_sender"]
        confirmed = confirm(connection, estimate, random.Random(1))
    assert (estimate.rows, confirmed.rows) == (20_000, 4_000)
    assert estimate.reclaimable_share < 0.1
    assert confirmed.reclaimable_share > 0.6


def test_counters_that_began_anew_do_not_make_every_index_look_bloated(
    database: Database, connection: Connection
) -> None:
    """As after a crash: the server has forgotten its counters, and has counted a few rows since."""
    make_letters(connection)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("SELECT pg_stat_reset_single_table_counters('letters'::regclass)")
    connection.execute(
        "INSERT INTO letters SELECT gen_random_uuid(), g FROM generate_series(1, 5) AS g"
    )
    flush_counters(connection)
    estimate = estimates(connection)["letters_sender"]
    assert estimate.rows == 20_000
    assert estimate.reclaimable_share < 0.1
    assert not estimate.is_certain
    connection.execute("ANALYZE letters")
    assert estimates(connection)["letters_sender"].is_certain


def test_counters_far_beyond_what_was_counted_make_estimates_unsure(connection: Connection) -> None:
    """They run double where a session reports its inserts after the vacuum that saw them."""
    make_letters(connection)
    for rows, is_certain in ((9_000, True), (2_000, False)):
        connection.execute(
            "INSERT INTO letters SELECT gen_random_uuid(), g FROM generate_series(1, %s) AS g",
            (rows,),
        )
        flush_counters(connection)
        assert estimates(connection, store=False)["letters_sender"].is_certain == is_certain
    connection.execute("ANALYZE letters")
    assert estimates(connection, store=False)["letters_sender"].is_certain


def test_a_table_that_nothing_but_a_new_index_has_counted_makes_estimates_unsure(
    connection: Connection,
) -> None:
    """The index counts rows that are gone by now; nobody has vacuumed or analysed since."""
    connection.execute("CREATE TABLE loaded (n integer) WITH (autovacuum_enabled = off)")
    connection.execute("INSERT INTO loaded SELECT g FROM generate_series(1, 50000) AS g")
    connection.execute("CREATE INDEX loaded_n ON loaded (n)")
    flush_counters(connection)
    assert estimates(connection, store=False)["loaded_n"].is_certain
    connection.execute("DELETE FROM loaded WHERE n % 10 <> 0")
    flush_counters(connection)
    assert not estimates(connection, store=False)["loaded_n"].is_certain


def test_accuracy_counts_the_errors_of_past_rebuilds(connection: Connection) -> None:
    assert accuracy(connection).p90 == 0
    connection.execute(
        """
        INSERT INTO ops.index_estimates (schema_name, index_name, file_node, method, is_certain,
            bytes, rows, estimated_bytes, rebuilt_bytes, rebuilt_at)
        SELECT 'public', 'i', g, 'range probe', true, 1000, 1, 500, 500 + g * 10, now()
        FROM generate_series(1, 10) AS g
        """
    )
    found = accuracy(connection)
    assert found.median == pytest.approx(5.5)
    assert found.p90 == pytest.approx(10)
