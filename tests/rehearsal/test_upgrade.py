"""An upgrade of a copy to 18 in its own folder: what works, and what each obstacle says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from ft_ops.backups import Beside, TableFingerprint
from ft_ops.backups.within import run_within
from ft_ops.errors import OpsError, Refused
from ft_ops.health import sample_parameters
from ft_ops.pg.connect import connect
from ft_ops.pg.server import embedded_binaries
from ft_ops.pg.supervision.walls import confinement
from ft_ops.rehearsal import Rehearsal, RehearsalRules
from ft_ops.rehearsal.certificate import certificate, rehearsal_lines
from ft_ops.rehearsal.differences import (
    ReadTables,
    differences_beside,
    differences_of_other_tables,
)
from ft_ops.rehearsal.known import Known, KnownSetting, LiveSetting
from ft_ops.rehearsal.look import Live
from ft_ops.rehearsal.measure import changes, measure
from ft_ops.rehearsal.programs import new_programs
from ft_ops.rehearsal.rehearsal import rehearse_on
from tests.fixtures.copies import Copy

QUIET = Live((), (), ())
RULES = RehearsalRules(None, "ft_app", 300)


REMOVED_TYPE = (
    "CREATE TYPE oldtime",
    (
        "CREATE FUNCTION oldtime_in(cstring) RETURNS oldtime LANGUAGE internal IMMUTABLE STRICT"
        " AS 'int4in'"
    ),
    (
        "CREATE FUNCTION oldtime_out(oldtime) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT"
        " AS 'int4out'"
    ),
    "CREATE TYPE oldtime (INPUT = oldtime_in, OUTPUT = oldtime_out, LIKE = int4)",
    "UPDATE pg_type SET typnamespace = 'pg_catalog'::regnamespace WHERE typname ~ '^_?oldtime$'",
)
"""A type of the catalog that no newer version knows, as abstime was one."""


def rehearse(copy: Copy, live: Live = QUIET) -> Rehearsal:
    return rehearse_on(copy.restored(), live, RULES, lambda line: None)


def test_a_copy_that_can_be_upgraded_works_and_says_what_is_left_to_do(copy: Copy) -> None:
    copy.execute(
        "CREATE UNLOGGED TABLE fleeting (id int)",
        "CREATE TABLE looked_up (id int, name text)",
        "CREATE INDEX by_hash ON looked_up USING hash (name)",
        "INSERT INTO looked_up VALUES (1, 'a'), (2, 'b')",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_hash'::regclass",
        "SET password_encryption = md5",
        "CREATE ROLE old_fashioned LOGIN PASSWORD 'secret'",
        "CREATE SEQUENCE counted START 41",
        "CREATE COLLATION ours (provider = libc, locale = 'POSIX')",
        'CREATE TABLE sorted (a text COLLATE ours, b text COLLATE "POSIX", c text COLLATE "C")',
        "CREATE INDEX by_ours ON sorted (a)",
        "CREATE INDEX by_theirs ON sorted (b)",
        "CREATE INDEX by_another ON sorted (c)",
        # What an older library has left, of one of the catalog's own.
        "UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'POSIX'",
        "SELECT nextval('counted')",
        "CREATE FUNCTION cut(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 9)'",
        "CREATE FUNCTION called(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql"
        " AS 'BEGIN RETURN cut(t); END'",
        "CREATE INDEX by_call ON looked_up (called(name))",
        "CREATE MATERIALIZED VIEW calls AS SELECT called(name) FROM looked_up",
        "CREATE MATERIALIZED VIEW looks AS SELECT name FROM looked_up",
        'CREATE DATABASE "Bücher/2%"',
        "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'Bücher/2%'",
    )
    copy.execute(
        'CREATE TABLE sorted (b text COLLATE "POSIX", d text)',
        "CREATE INDEX by_theirs ON sorted (b)",
        "CREATE INDEX by_default ON sorted (d)",
        "UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'POSIX'",
        database="Bücher/2%",
    )
    spaces = copy.folder / "space"
    spaces.mkdir(mode=0o700)
    os.chown(spaces, copy.server.data_dir.stat().st_uid, copy.server.data_dir.stat().st_gid)
    copy.execute(
        f"CREATE TABLESPACE aside LOCATION '{spaces}'",
        "CREATE TABLE moved_aside TABLESPACE aside AS SELECT generate_series(1, 9) AS n",
    )
    live = Live(
        slots=(("to_warehouse", "logical", "pgoutput"), ("standby_1", "physical", "")),
        standbys=("standby_1",),
        settings=(
            LiveSetting("old_snapshot_threshold", "-1", "integer", False, "min"),
            LiveSetting("random_page_cost", "1.1", "real", True, None),
            LiveSetting("effective_cache_size", "524288", "integer", True, "8kB"),
        ),
    )

    found = rehearse(copy, live)

    assert found.verdict == "works", list(rehearsal_lines(found))
    assert found.seconds is not None
    assert found.seconds.down > found.seconds.upgrade > 0
    assert found.sentence.startswith("16.14 → 18.")
    assert ": works, " in found.sentence
    assert " down, " in found.sentence
    assert {(f.weight, f.kind, f.subject) for f in found.findings} >= {
        ("note", "unlogged table", "public.fleeting"),
        ("note", "hash index", "public.by_hash"),
        ("work", "invalid index", "public.by_hash"),
        ("note", "password", "old_fashioned"),
        ("note", "tablespace", "aside"),
        ("work", "logical slot", "to_warehouse"),
        ("work", "physical slot", "standby_1"),
        ("work", "standby", "standby_1"),
        ("work", "setting", "old_snapshot_threshold"),
        ("work", "statistics", "public.looked_up"),
        ("work", "materialized view", "public.calls"),
    }
    assert "public.looks" not in {f.subject for f in found.findings}
    assert {f.subject for f in found.findings if f.kind == "collation"} == {
        "public.by_theirs",
        "Bücher/2%",
        "Bücher/2%: public.by_theirs",
        "Bücher/2%: public.by_default",
    }
    assert not found.weighing("refuses", "differs", "unknown")
    assert len(found.queries) == 5
    assert {query.plan for query in found.queries} <= {"same", "other", "better"}
    assert found.rows > 500
    assert any(name == "io_method" or before != after for name, before, after in found.defaults)
    record = certificate(found)
    assert record["verdict"] == "works"
    # Nothing is left of what ran.
    assert not _processes_of(copy.folder)


def test_every_obstacle_is_named_at_once(copy: Copy) -> None:
    copy.execute(
        "CREATE TABLE pointers (id int, callee regproc)",
        "CREATE DOMAIN callee AS regprocedure",
        "CREATE TABLE wrapped (callees callee[])",
        "CREATE TABLE keeps_catalog (was pg_class)",
        "CREATE TABLE two_phase (id int)",
        "CREATE ROLE kept",
        *REMOVED_TYPE,
        "CREATE DOMAIN long_ago AS pg_catalog.oldtime",
        "CREATE TABLE old_times (at pg_catalog.oldtime, of long_ago, all_of pg_catalog.oldtime[])",
        "CREATE TYPE span AS RANGE (subtype = regproc, multirange_type_name = spans)",
        "CREATE TABLE ranges (one span, many spans)",
        "INSERT INTO pg_db_role_setting VALUES (0, 'kept'::regrole, '{db_user_namespace=off}')",
        "CREATE DATABASE closed",
        "ALTER DATABASE closed ALLOW_CONNECTIONS false",
        "CREATE DATABASE half_dropped",
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half_dropped'",
        "CREATE DATABASE another",
        "INSERT INTO pg_extension VALUES (99999, 'vanished', 10, 2200, false, '1.0', NULL, NULL)",
    )
    copy.execute("CREATE TABLE also (callee regproc)", database="another")
    copy.execute("BEGIN; INSERT INTO two_phase VALUES (1); PREPARE TRANSACTION 'half done'")

    found = rehearse(copy)

    assert found.verdict == "refuted"
    assert {(f.kind, f.subject) for f in found.weighing("refuses")} >= {
        ("number of an object", "public.pointers.callee"),
        ("number of an object", "public.wrapped.callees"),
        ("number of an object", "another: public.also.callee"),
        ("number of an object", "public.ranges.one"),
        ("number of an object", "public.ranges.many"),
        ("rows of the catalog", "public.keeps_catalog.was"),
        ("removed type", "public.old_times.at"),
        ("removed type", "public.old_times.of"),
        ("removed type", "public.old_times.all_of"),
        ("prepared transaction", "half done"),
        ("closed database", "closed"),
        ("invalid database", "half_dropped"),
        ("extension", "vanished"),
        ("setting", "db_user_namespace"),
    }
    assert found.seconds is None
    assert found.sentence.startswith("16.14 → 18.4: refused, ")


def test_what_only_pg_upgrade_finds_is_told_in_its_words(copy: Copy) -> None:
    """A library that the new version lacks."""
    copy.execute(
        "CREATE FUNCTION gone() RETURNS trigger LANGUAGE c"
        " AS '$libdir/plpgsql', 'plpgsql_validator'",
        "UPDATE pg_proc SET probin = '$libdir/vanished' WHERE proname = 'gone'",
    )
    found = rehearse(copy)
    assert found.verdict == "refuted"
    (listed, *_) = found.weighing("refuses")
    assert listed.kind == "loadable libraries"
    assert "$libdir/vanished" in listed.subject


@pytest.mark.chaos
def test_rows_that_come_out_otherwise_refute_it(copy: Copy) -> None:
    restored = copy.restored()
    copy.execute("UPDATE families SET name = name || '!'")
    found = rehearse_on(restored, QUIET, RULES, lambda line: None)
    assert found.verdict == "refuted"
    assert [(f.kind, f.subject) for f in found.weighing("differs")] == [("rows", "public.families")]
    assert "refuted, one thing came out otherwise" in found.sentence


def test_a_table_that_was_not_read_on_one_side_does_not_differ() -> None:
    read, other = (TableFingerprint(rows, rows) for rows in (1, 2))
    before = ReadTables({"a": read, "b": read, "gone": read}, {"late": "canceled"})
    after = ReadTables({"a": other, "late": read}, {"b": "permission denied"})
    assert [(f.weight, f.subject) for f in differences_of_other_tables(before, after)] == [
        ("unknown", "late"),
        ("differs", "a"),
        ("differs", "gone"),
    ]


def test_what_was_not_read_beside_the_rows_does_not_differ() -> None:
    before = Beside(
        {"table a": "1", "table b": "1", "index ix of b": "1"},
        {"public.s": (1, 1, 0), "public.t": (1, 1, 0)},
        {},
        (),
        {"schema: table late": "locked"},
    )
    after = Beside({"table late": "1"}, {}, {}, (), {"sequence public.s": "held"})
    found = [(f.weight, f.subject) for f in differences_beside(before, after, ["ix"])]
    assert found == [
        ("unknown", "schema: table late"),
        ("unknown", "sequence public.s"),
        ("differs", "table a"),
        ("differs", "table b"),
        ("differs", "public.t"),
    ]
    whole = Beside({}, dict(before.sequences), {}, (), {"schema: *": "out of memory"})
    found = [(f.weight, f.subject) for f in differences_beside(before, whole, [])]
    assert found == [("unknown", "schema: *"), ("unknown", "schema: table late")]


@pytest.mark.parametrize(
    ("name", "setting", "problem"),
    [
        ("work_mem", "4096", None),
        ("work_mem", "64MB", None),
        ("work_mem", "12", "out of range"),
        ("wal_level", "logical", None),
        ("wal_level", "archive", "does not take"),
        ("db_user_namespace", "off", "does not know it"),
        ("timescaledb.license", "apache", None),
    ],
)
def test_a_setting_is_held_against_what_the_new_version_takes(
    name: str, setting: str, problem: str | None
) -> None:
    settings = {
        "work_mem": KnownSetting("work_mem", "integer", "64", "2147483647", None, "4096", "kB"),
        "wal_level": KnownSetting(
            "wal_level", "enum", None, None, ["minimal", "replica", "logical"], "replica", None
        ),
    }
    known = Known("18.4", 16, settings, frozenset(), {})
    said = known.problem_with(name, setting)
    assert (said is None) if problem is None else (said is not None and problem in said)


def test_only_a_newer_and_whole_set_of_programs_is_taken(tmp_path: Path) -> None:
    assert new_programs(None, 16) == embedded_binaries(18)
    with pytest.raises(Refused, match="no newer version"):
        new_programs(embedded_binaries(16), 16)
    with pytest.raises(Refused, match="no newer version's programs are here"):
        new_programs(None, 18)
    with pytest.raises(Refused, match="it lacks initdb"):
        new_programs(tmp_path, 16)


@pytest.mark.skipif(confinement() is None, reason="this kernel has no Landlock")
def test_what_it_runs_writes_nowhere_else_and_ends_in_time(tmp_path: Path, place: Path) -> None:
    place.chmod(0o777)
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    command = ["/bin/sh", "-c", f"echo in > {place}/in; echo out > {outside}/out"]
    done = run_within(command, place, at=place, timeout_seconds=10)
    assert done.status != 0
    assert (place / "in").read_text() == "in\n"
    assert list(outside.iterdir()) == []
    with pytest.raises(OpsError, match="did not end within"):
        run_within(["/bin/sleep", "60"], place, at=place, timeout_seconds=0.2)


_REHEARSES = """
import sys
from pathlib import Path
from ft_ops.backups import Beside, TableFingerprint
from ft_ops.backups.within import run_within
place = Path(sys.argv[1])
run_within(
    ["/bin/sh", "-c", "setsid sleep 600 & echo $! > started; wait"],
    place, at=place, timeout_seconds=600,
)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone hands orphans over")
def test_killed_it_leaves_no_server_behind(place: Path) -> None:
    place.chmod(0o777)
    process = subprocess.Popen([sys.executable, "-c", _REHEARSES, str(place)])
    started = place / "started"
    until = time.monotonic() + 10
    while not (started.exists() and started.read_text().strip()):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    child = Path(f"/proc/{started.read_text().strip()}")
    while child.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_plan_that_flips_is_worse_and_says_how(copy: Copy) -> None:
    url = copy.restored().url
    with connect(url, application="tests") as connection:
        visitors = sample_parameters(connection, 5, Random(1))
        before = measure(connection, visitors, "ft_app")
        assert {change.plan for change in changes(before, before, before)} == {"same"}
        copy.execute(
            "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)"
            " SELECT content_segment_id, tag_name || n, tagged_by FROM content_tags,"
            " generate_series(1, 200) AS n",
            "ANALYZE content_tags",
        )
        first = measure(connection, visitors, "ft_app")
        copy.execute(
            "DO $$ DECLARE i text; BEGIN FOR i IN SELECT indexrelid::regclass FROM pg_index WHERE"
            " indrelid = 'content_tags'::regclass AND NOT indisprimary LOOP"
            " EXECUTE 'ALTER TABLE content_tags DROP CONSTRAINT IF EXISTS ' || i;"
            " EXECUTE 'DROP INDEX IF EXISTS ' || i; END LOOP; END $$"
        )
        after = measure(connection, visitors, "ft_app")
    flipped = {change.query: change for change in changes(first, first, after)}
    assert flipped["search_by_tags"].plan == "worse"
    assert "content_tags" in flipped["search_by_tags"].words
    assert flipped["family_storage"].plan == "same"


def _processes_of(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
