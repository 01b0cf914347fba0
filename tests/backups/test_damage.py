"""Every damage is found, and named: in a restored copy, and in the objects it comes from.

What each check finds alone is asserted too, so that none can be dropped unnoticed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ft_ops.backups.drill.checks import run_checks
from ft_ops.backups.drill.cluster_checks import foreign_keys
from ft_ops.backups.drill.recovery import ScratchCopy
from ft_ops.backups.points.fingerprint import fingerprint_tables
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.sandbox import Sandbox
from tests.backups.world import Standing, environment_of, flip_in_file

PAGE = 8192


@dataclass(slots=True)
class Restored:
    """A recovered copy whose server is stopped, to be damaged and looked at.

    ``undecided`` is what the last look had to leave open, ``unsaid`` what it has no means for.
    """

    standing: Standing
    copy: ScratchCopy
    files: dict[str, str]
    indexes: dict[str, str]
    undecided: set[tuple[str, str]] = field(default_factory=set)
    unsaid: set[str] = field(default_factory=set)

    def path(self, relation: str) -> Path:
        return self.copy.server.data_dir / self.files[relation]

    def findings(self) -> set[tuple[str, str]]:
        """(check, subject) of everything that the checks complain of."""
        pg.hand_over(self.copy.server.data_dir)
        with pg.running(self.copy.server, stop_mode="immediate"):
            checks = run_checks(self.copy, self.standing.increment.point, lambda line: None)
        self.undecided = {(f.check, f.subject) for c in checks for f in c.undecided}
        self.unsaid = {said for check in checks for said in check.unsaid}
        return {(f.check, f.subject) for check in checks for f in check.findings}


@pytest.fixture(scope="module")
def recovered_once(
    box: Sandbox, standing_once: Standing, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Restored, Path]]:
    """The increment's point, recovered, and its files set aside after a clean stop."""
    standing = standing_once
    provider = standing.world.provider
    kept = tmp_path_factory.mktemp("kept") / "data"
    with ExitStack() as stack:
        with environment_of(box):
            stored = next(b for b in provider.stored_backups() if b.kind == "full")
            copy = stack.enter_context(
                provider.restore(stored, standing.increment.point, lambda line: None)
            )
        assert isinstance(copy, ScratchCopy)
        with connect(copy.url, application="tests") as connection:
            files = connection.execute(
                "SELECT oid::regclass::text, pg_relation_filepath(oid) FROM pg_class"
                " WHERE pg_relation_filepath(oid) IS NOT NULL"
            ).fetchall()
            indexes = connection.execute(
                "SELECT indrelid::regclass::text, min(indexrelid::regclass::text)"
                " FROM pg_index WHERE indisprimary GROUP BY indrelid"
            ).fetchall()
        pg.stop(copy.server)
        shutil.copytree(copy.server.data_dir, kept)
        yield Restored(standing, copy, dict(files), dict(indexes)), kept


@pytest.fixture
def restored(recovered_once: tuple[Restored, Path]) -> Restored:
    restored, kept = recovered_once
    _put_back(kept, restored.copy.server.data_dir)
    pg.hand_over(restored.copy.server.data_dir)
    return restored


def test_an_undamaged_copy_has_nothing_wrong(restored: Restored) -> None:
    assert restored.findings() == set()


def test_a_flipped_bit_in_a_table(restored: Restored) -> None:
    flip_in_file(restored.path("users"), PAGE - 40)
    found = restored.findings()
    assert {("checksums", "users"), ("fingerprint", "public.users")} <= found


def test_a_zeroed_page_of_a_table(restored: Restored) -> None:
    path = restored.path("threads")
    path.write_bytes(bytes(PAGE) + path.read_bytes()[PAGE:])
    found = restored.findings()
    # A zeroed page has a valid checksum: only what the indexes and the fingerprint know tells.
    assert ("checksums", "threads") not in found
    assert {("fingerprint", "public.threads"), ("indexes", "threads_pkey")} <= found
    assert ("foreign keys", "public.content_segments content_segments_thread_id_fkey") in found


def test_a_table_cut_off(restored: Restored) -> None:
    path = restored.path("audit_log_" + _month(restored))
    path.write_bytes(path.read_bytes()[:PAGE])
    found = restored.findings()
    name = "audit_log_" + _month(restored)
    assert ("fingerprint", f"public.{name}") in found
    assert ("indexes", restored.indexes[name]) in found


def test_a_missing_file_of_a_table(restored: Restored) -> None:
    restored.path("memory_books").unlink()
    found = restored.findings()
    assert ("fingerprint", "public.memory_books") in found


def test_a_flipped_bit_in_an_index(restored: Restored) -> None:
    flip_in_file(restored.path("users_pkey"), 2 * PAGE - 60)
    assert ("checksums", "users_pkey") in restored.findings()


def test_two_pages_of_an_index_in_each_others_place(restored: Restored) -> None:
    path = restored.path("content_segment_keys_pkey")
    pages = path.read_bytes()
    first, second = pages[PAGE : 2 * PAGE], pages[2 * PAGE : 3 * PAGE]
    path.write_bytes(pages[:PAGE] + second + first + pages[3 * PAGE :])
    found = restored.findings()
    # The block's number is part of its checksum.
    assert ("checksums", "content_segment_keys_pkey") in found


def test_transaction_status_lost(restored: Restored) -> None:
    for path in (restored.copy.server.data_dir / "pg_xact").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    found = restored.findings()
    assert not any(check == "checksums" for check, _ in found)
    assert any(check in {"fingerprint", "server"} for check, _ in found)


def test_an_index_that_lost_an_entry(restored: Restored) -> None:
    """Valid pages with another content, as a changed collation or a bug leaves them."""
    with _altering(restored) as connection:
        _set_ready(connection, "users_email_key", is_ready=False)
        connection.execute(
            "UPDATE users SET email = 'x' || email"
            " WHERE id = (SELECT id FROM users ORDER BY id LIMIT 1)"
        )
        _set_ready(connection, "users_email_key", is_ready=True)
    assert ("indexes", "users_email_key") in restored.findings()


def test_an_index_out_of_order(restored: Restored) -> None:
    """Every block has its checksum, and every row its entry: as after another sort order."""
    with _altering(restored) as connection:
        connection.execute(
            "CREATE FUNCTION rank(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1"
        )
        connection.execute("CREATE INDEX by_rank ON users (rank(email::text) DESC, id)")
        connection.execute("CREATE INDEX by_two ON users (is_active NULLS FIRST, email DESC)")
        connection.execute("CREATE INDEX by_pattern ON users ((email::text) text_pattern_ops)")
        connection.execute("CREATE INDEX by_block ON users USING brin (created_at)")
    assert not any(check == "indexes" for check, _ in restored.findings())
    assert any("by_block" in said and "(brin): nothing but" in said for said in restored.unsaid)
    with _altering(restored) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION rank(text) RETURNS text IMMUTABLE LANGUAGE sql"
            " RETURN reverse($1)"
        )
    assert {s for check, s in restored.findings() if check == "indexes"} == {"by_rank"}
    # A machine that sorts text otherwise can't tell: a sound index looks the same there.
    with _altering(restored) as connection:
        connection.execute("UPDATE pg_database SET datcollversion = '0.1'")
    assert not any(check == "indexes" for check, _ in restored.findings())
    assert ("indexes", "by_rank") in restored.undecided


def test_whoever_made_a_table_can_not_say_what_its_rows_are(restored: Restored) -> None:
    """A cast of the row to text, and a function that is nearer than the server's own."""
    with _altering(restored) as connection:
        connection.execute("ALTER ROLE ALL SET default_transaction_read_only = on")
        connection.execute(
            "CREATE FUNCTION said(users) RETURNS text IMMUTABLE LANGUAGE sql RETURN 'as it was'"
        )
        connection.execute("CREATE CAST (users AS text) WITH FUNCTION said(users) AS IMPLICIT")
        connection.execute(
            "CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint IMMUTABLE"
            " LANGUAGE sql RETURN 1"
        )
    found = restored.findings()
    assert ("fingerprint", "public.users") not in found
    assert not any(check == "indexes" for check, _ in found | restored.undecided)


def test_an_index_whose_pointers_lead_to_other_rows(restored: Restored) -> None:
    """Its keys are right and in order. Without checksums no block tells."""
    done = pg.run_program(
        restored.copy.server, "pg_checksums", ["--disable", str(restored.copy.server.data_dir)]
    )
    assert done.returncode == 0, done.stderr
    path = restored.path("users_email_key")
    path.write_bytes(_with_two_pointers_swapped(path.read_bytes()))
    found = restored.findings()
    assert {s for check, s in found if check == "indexes"} == {"users_email_key"}


def _with_two_pointers_swapped(index: bytes) -> bytes:
    """Of two entries of its first leaf, of which the first may be the page's high key."""
    pages = bytearray(index)
    at = PAGE
    lower = int.from_bytes(pages[at + 12 : at + 14], "little")
    items = [
        at + (int.from_bytes(pages[n : n + 4], "little") & 0x7FFF)
        for n in range(at + 24, at + lower, 4)
    ]
    one, other = items[1], items[2]
    first, second = pages[one : one + 6], pages[other : other + 6]
    pages[one : one + 6], pages[other : other + 6] = second, first
    return bytes(pages)


def test_orphaned_rows(restored: Restored) -> None:
    with _altering(restored) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "DELETE FROM families WHERE id = (SELECT id FROM families ORDER BY id LIMIT 1)"
        )
    found = restored.findings()
    assert ("foreign keys", "public.family_members family_members_family_id_fkey") in found


def test_orphans_that_the_original_has_as_well_are_told_and_refute_no_backup(
    restored: Restored,
) -> None:
    """A bulk load has silenced the foreign keys, and the backup is faithful to that."""
    point = restored.standing.increment.point
    with _altering(restored) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "DELETE FROM families WHERE id = (SELECT id FROM families ORDER BY id LIMIT 1)"
        )
        assert foreign_keys(connection, point).findings
        tables = {**point.tables, **fingerprint_tables(connection, point.snapshot)}
        told = foreign_keys(connection, replace(point, tables=tables))
    assert told.findings == ()
    assert any("rows without their row in public.families, as in" in s for s in told.unsaid)


def test_another_schema_or_extension(restored: Restored) -> None:
    with _altering(restored) as connection:
        connection.execute("UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 2")
        connection.execute("UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'vector'")
        connection.execute("CREATE TABLE public.stranger (id int)")
        connection.execute("UPDATE pg_database SET datcollversion = '0.1'")
        connection.execute("ALTER TABLE memory_books ALTER COLUMN title DROP NOT NULL")
    found = restored.findings()
    assert {
        ("fingerprint", "public.stranger"),
        ("schema", "migration 2/create partitions"),
        ("schema", "column memory_books.title"),
        ("schema", "table stranger"),
        ("extensions", "vector"),
    } <= found
    # Another collation version is about this machine: it says nothing about the backup.
    assert ("collations", "database familytales") in restored.undecided


def test_another_sequence_and_a_role_that_may_more(restored: Restored) -> None:
    with _altering(restored) as connection:
        connection.execute(
            "SELECT setval(s::regclass, 100000) FROM (VALUES (pg_get_serial_sequence("
            "'ops.restore_drills', 'id'))) AS t (s)"
        )
        connection.execute("ALTER ROLE ft_app CREATEROLE")
    found = restored.findings()
    assert {("sequences", "ops.restore_drills_id_seq"), ("roles", "ft_app")} <= found


def test_damage_of_another_database_of_the_cluster(restored: Restored) -> None:
    server = restored.copy.server
    with (
        pg.running(server),
        connect(server.url("familytales_second"), application="tests") as connection,
    ):
        row = connection.execute(
            "SELECT pg_relation_filepath('threads'), pg_relation_filepath('memory_books')"
        ).fetchone()
    assert row is not None
    threads, books = (server.data_dir / path for path in row)
    threads.write_bytes(threads.read_bytes()[:-PAGE])
    books.unlink()
    found = restored.findings()
    assert ("other databases", "familytales_second: threads_pkey") in found
    assert ("other databases", "familytales_second: public.memory_books") in found
    with _altering(restored) as connection:
        connection.execute("DROP DATABASE familytales_second WITH (FORCE)")
    assert ("other databases", "familytales_second") in restored.findings()


def _put_back(kept: Path, data: Path) -> None:
    """Make a data folder what it was. Only what a test changed is copied: there are many files."""
    for path in list(data.rglob("*")):
        if not path.is_dir() and not (kept / path.relative_to(data)).exists():
            path.unlink()
    for path in kept.rglob("*"):
        target = data / path.relative_to(kept)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists() or _written(target) != _written(path):
            shutil.copy2(path, target)


def _written(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@contextmanager
def _altering(restored: Restored) -> Iterator[Connection]:
    """A superuser's connection to the copy, which is stopped cleanly afterwards."""
    with (
        pg.running(restored.copy.server),
        connect(restored.copy.admin_url, application="tests") as connection,
    ):
        yield connection


def _set_ready(connection: Connection, index: str, *, is_ready: bool) -> None:
    connection.execute(
        "UPDATE pg_index SET indisready = %s, indisvalid = %s WHERE indexrelid = %s::regclass",
        (is_ready, is_ready, index),
    )


def _month(restored: Restored) -> str:
    """The partition suffix that has most rows."""
    tables = restored.standing.increment.point.tables
    logs = {
        name.removeprefix("public.audit_log_"): found.rows
        for name, found in tables.items()
        if name.startswith("public.audit_log_") and found is not None
    }
    return max(logs, key=lambda suffix: logs[suffix])
