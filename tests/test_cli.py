"""`ft-ops` says what is wrong in one line and exits with 1; it never shows a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ft_ops.cli import commands
from ft_ops.commands.session import person
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.connect import Connection
from tests.fixtures.commands import Command
from tests.fixtures.pgbouncer import needs_pgbouncer, pooled
from tests.fixtures.postgres import Database


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "FT_DATABASE_URL: it is not set"),
        ("ft_ops:hunter2@host/db", "FT_DATABASE_URL: "),
        ("postgresql://ft_ops:hunter2@127.0.0.1:1/nowhere", "ft_ops@127.0.0.1:1/nowhere"),
        (
            "postgresql://ft_ops:hunter2@127.0.0.1:1/nowhere?connect_timeout=soon",
            "FT_DATABASE_URL: its connect_timeout is no number",
        ),
    ],
)
def test_an_unusable_database_is_one_line(ft_ops: Command, url: str, said: str) -> None:
    done = ft_ops("migrate", "status", **({"FT_DATABASE_URL": url} if url else {}))
    assert done.returncode == 1
    assert done.stdout == ""
    assert said in done.stderr
    assert "Next: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_an_invalid_setting_is_named(ft_ops: Command, database: Database) -> None:
    done = ft_ops("migrate", "status", FT_DATABASE_URL=database.url, FT_RETENTION_YEARS="seven")
    assert done.returncode == 1
    assert "FT_RETENTION_YEARS" in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "99999999"])
def test_a_demo_is_not_begun_for_a_port_that_is_none(ft_ops: Command, port: str) -> None:
    for options in (["--ui", "--port", port], ["--port", port]):
        _is_one_line(ft_ops("demo", *options), "1<=x<=65535", "ft-ops demo --help", status=2)


def test_a_demo_is_not_begun_for_a_port_that_somebody_has(ft_ops: Command, tmp_path: Path) -> None:
    """Before the minutes of the demo, and not after them."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = str(somebody.getsockname()[1])
        done = ft_ops("demo", "--ui", "--port", port, "--report", str(tmp_path / "report.json"))
    _is_one_line(done, f"something else listens on port {port}", "--port")


def test_a_command_that_is_not_understood_is_told_in_one_line(ft_ops: Command) -> None:
    """Each verb with an option that it has not, and each option of a kind with what is none."""
    asked = 0
    for words, verb in _verbs(commands):
        if verb.name in {"web", "daemon", "sandbox"}:  # what they are given is for another program
            continue
        wrong = [["--nope"], *_of_another_kind(verb)]
        for arguments in wrong:
            asked += 1
            done = ft_ops(*words, *arguments)
            _is_one_line(done, " ".join(words), f"{' '.join(words)} --help", status=2)
    assert asked > 40


def _verbs(group: click.Group, *before: str) -> Iterator[tuple[list[str], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _verbs(command, *before, name)
        else:
            yield [*before, name], command


def _of_another_kind(verb: click.Command) -> Iterator[list[str]]:
    for option in verb.params:
        if not isinstance(option, click.Option) or option.is_flag:
            continue
        match option.type:
            case click.IntRange(min=int(least)):
                yield [option.opts[0], str(least - 1)]
            case click.Choice() | click.DateTime() | click.types.UUIDParameterType():
                yield [option.opts[0], "2026-13-01"]
            case click.types.IntParamType():
                yield [option.opts[0], "1.5"]


def test_a_wrong_argument_ends_in_one_line(ft_ops: Command, database: Database) -> None:
    settings = {"FT_DATABASE_URL": database.url, "FT_ARCHIVE_BUCKET": "memories"}
    athena, iceberg = ("archive", "tables", "--engine", "athena"), ("archive", "iceberg")
    for arguments, cause, next_step in (
        (("hold", "add", "--month", "2026-13", "--reason", "x"), "must be in 1..12", "2017-03-01"),
        (("hold", "add", "--month", "-1", "--reason", "x"), "expected YYYY-MM", "2017-03-01"),
        (("hold", "add", "--month", "2017-03", "--reason", "x", "--by", " "), "is empty", "--by"),
        (("hold", "release", "1", "--reason", "x", "--by", ""), "is empty", "--by"),
        (("hold", "release", "9" * 30, "--reason", "x"), "no such hold", "ft-ops hold list"),
        (("archive", "cancel", "--month", "9999-12"), "under way", "ops.thaw_status"),
        ((*athena, "--location", "/srv/archive"), "Athena reads s3:// alone", "a folder of S3"),
        ((*iceberg, "--location", "https://example.org"), "no s3://bucket", "one of this machine"),
        ((*iceberg, "--location", __file__), "it is a file", "a folder"),
        ((*iceberg, "--location", "s3://"), "no s3://bucket/folder", "a folder"),
        (("migrate", "fingerprint", ""), "it is empty", "leave it out"),
    ):
        _is_one_line(ft_ops(*arguments, **settings), cause, next_step)


def test_migrations_run_and_are_listed(ft_ops: Command, empty_database: Database) -> None:
    assert (
        "applied 1/initial schema"
        in ft_ops("migrate", "run", FT_DATABASE_URL=empty_database.url).stdout
    )
    listed = ft_ops("migrate", "status", FT_DATABASE_URL=empty_database.url).stdout
    assert "pending" not in listed


def test_holds_are_placed_listed_and_released(
    ft_ops: Command, database: Database, connection: Connection
) -> None:
    settings = {"FT_DATABASE_URL": database.url}
    assert ft_ops("hold", "list", **settings).stdout == "there are no holds\n"
    ensure_months(connection, "content_segments", [Month(2017, 3)])
    add = ("hold", "add", "--month", "2017-03", "--by", "ada")
    placed = ft_ops(*add, "--reason", "a lawsuit", **settings).stdout
    assert placed.startswith("placed hold 1 on month 2017-03 (a lawsuit)\n")
    assert "in the database: 2017-03\n" in placed
    listed = ft_ops("hold", "list", **settings).stdout
    assert "month 2017-03" in listed
    assert "by ft_ops (ada): a lawsuit" in listed
    release = ("hold", "release", "1", "--by", "grace", "--reason")
    empty = ft_ops(*release, " ", **settings)
    assert (empty.returncode, "argument --reason: it is empty" in empty.stderr) == (1, True)
    assert ft_ops(*release, "settled", **settings).returncode == 0
    assert "by ft_ops (grace): settled" in ft_ops("hold", "list", **settings).stdout
    again = ft_ops(*release, "settled", **settings)
    assert again.returncode == 1
    assert "released before" in again.stderr
    audited = connection.execute("SELECT action FROM audit_log ORDER BY created_at").fetchall()
    assert audited == [("hold.add",), ("hold.release",)]


def test_a_hold_stands_although_the_archive_can_not_be_asked(
    ft_ops: Command, database: Database, connection: Connection, aws: str
) -> None:
    ensure_months(connection, "content_segments", [Month(2017, 3)])
    add = ("hold", "add", "--month", "2017-03", "--reason", "x")
    settings = {"FT_DATABASE_URL": database.url, "FT_ARCHIVE_BUCKET": "is-not-there"}
    done = ft_ops(*add, **settings)
    assert (done.returncode, done.stdout) == (1, "placed hold 1 on month 2017-03 (x)\n")
    assert "hold 1 on month 2017-03 (x), which stands" in done.stderr
    assert "is-not-there" in done.stderr
    assert "ship_archive_records searches again" in done.stderr


def test_a_hold_on_what_nobody_knows_is_one_line(ft_ops: Command, database: Database) -> None:
    for subject in (["--month", "2099-01"], ["--family", "00000000-0000-0000-0000-00000000000f"]):
        done = ft_ops("hold", "add", *subject, "--reason", "x", FT_DATABASE_URL=database.url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "--force" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_unknown_month_is_named(ft_ops: Command, database: Database) -> None:
    done = ft_ops(
        "hold", "add", "--month", "2017-13", "--reason", "x", FT_DATABASE_URL=database.url
    )
    assert done.returncode == 1
    assert "'2017-13'" in done.stderr


def _as_role(database: Database, role: str) -> str:
    return make_conninfo(database.server_url, dbname=database.name, user=role)


@pytest.mark.parametrize(
    ("arguments", "role", "cause", "next_step"),
    [
        (("migrate", "status"), "ft_app", "this role may not", "the operations role"),
        (("migrate", "run"), "ft_app", "this role may not", "the operations role"),
        (("hold", "list"), "ft_app", "this role may not", "the operations role"),
    ],
)
def test_a_role_that_may_not_is_told_in_one_line(
    ft_ops: Command,
    database: Database,
    arguments: tuple[str, ...],
    role: str,
    cause: str,
    next_step: str,
) -> None:
    done = ft_ops(*arguments, FT_DATABASE_URL=_as_role(database, role))
    _is_one_line(done, cause, next_step)


def test_a_database_without_the_schema_is_told_in_one_line(
    ft_ops: Command, empty_database: Database
) -> None:
    done = ft_ops("hold", "list", FT_DATABASE_URL=empty_database.url)
    _is_one_line(done, "it is not there", "ft-ops migrate run")


@pytest.mark.parametrize(
    "arguments", [("migrate", "run"), ("hold", "add", "--month", "2017-03", "--force")]
)
def test_a_server_that_takes_no_writes_is_told_in_one_line(
    ft_ops: Command, database: Database, arguments: tuple[str, ...]
) -> None:
    with psycopg.connect(database.server_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                sql.Identifier(database.name)
            )
        )
    reason = ("--reason", "a lawsuit") if arguments[0] == "hold" else ()
    done = ft_ops(*arguments, *reason, FT_DATABASE_URL=database.url)
    _is_one_line(done, "the server takes no writes", "name the primary")


def test_a_database_in_another_encoding_gets_no_migration(
    ft_ops: Command, server: str, worker_id: str
) -> None:
    latin = Database(f"ft_latin_{worker_id}", server)
    with psycopg.connect(server, autocommit=True) as admin:
        name = sql.Identifier(latin.name)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C'"
                " LC_CTYPE 'C'"
            ).format(name)
        )
        try:
            done = ft_ops("migrate", "run", FT_DATABASE_URL=latin.admin_url)
            _is_one_line(done, "its encoding is LATIN1", "ENCODING 'UTF8'")
            with psycopg.connect(latin.admin_url) as connection:
                tables = connection.execute(
                    "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
                )
                assert tables.fetchone() == (0,)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_an_administrator_makes_nothing_that_would_be_his_own(
    ft_ops: Command, empty_database: Database
) -> None:
    done = ft_ops("migrate", "run", FT_DATABASE_URL=empty_database.admin_url)
    _is_one_line(done, "has to belong to the role that owns the database", "bootstrap.sql")
    with psycopg.connect(empty_database.admin_url) as admin:
        assert admin.execute("SELECT to_regclass('_sqlx_migrations')").fetchone() == (None,)


def test_dagsters_own_database_gets_no_migration(ft_ops: Command, empty_database: Database) -> None:
    with psycopg.connect(empty_database.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE event_logs (); CREATE TABLE run_tags ()")
    done = ft_ops("migrate", "run", FT_DATABASE_URL=empty_database.url)
    _is_one_line(done, "it is Dagster's own", "FT_DAGSTER_DATABASE_URL")


def test_a_file_that_can_not_be_written_is_told_in_one_line(
    ft_ops: Command, database: Database
) -> None:
    done = ft_ops("migrate", "fingerprint", "/nowhere/x.json", FT_DATABASE_URL=database.url)
    _is_one_line(done, "file /nowhere/x.json: [Errno 2] No such file", "see the cause")


@needs_pgbouncer
def test_a_pooler_is_told_in_one_line(ft_ops: Command, database: Database, place: Path) -> None:
    with pooled(database, place, mode="transaction", ignore="options") as url:
        done = ft_ops("hold", "list", FT_DATABASE_URL=url)
    _is_one_line(done, "a connection pooler answers instead of PostgreSQL", "the server itself")


@pytest.mark.parametrize(
    ("redirected", "cause"),
    [
        ("> /dev/full", "No space left on device"),
        ("| true", "the program that reads it has closed it"),
    ],
)
def test_what_takes_no_output_is_told_as_that(redirected: str, cause: str) -> None:
    """And not as an error of the database, or of the work."""
    command = f'{sys.executable} -c "{_START}" settings {redirected}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False, text=True
    )
    _is_one_line(done, f"standard output: {cause}", "")


_START = "import ft_ops.start; ft_ops.start.main()"
_STARTED_ALONE = (
    # A signal that is ignored here would be ignored there: Dagster gives SIGTERM what SIGINT has,
    # and whatever a shell starts in its background ignores that.
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    f" signal.signal(signal.SIGTERM, signal.SIG_DFL); {_START}"
)


@contextmanager
def _held_up(database: Database) -> Iterator[subprocess.Popen[str]]:
    """A command, started alone, that will wait for a lock."""
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("LOCK TABLE ops.legal_holds")
        with subprocess.Popen(
            [sys.executable, "-c", _STARTED_ALONE, "hold", "list"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FT_DATABASE_URL": database.url},
        ) as process:
            yield process


_WAITS = (
    "SELECT FROM pg_stat_activity WHERE application_name = 'ft-ops hold'"
    " AND wait_event_type = 'Lock' AND datname = current_database()"
)


def _await_lock(process: subprocess.Popen[str], connection: Connection) -> None:
    while process.poll() is None and connection.execute(_WAITS).fetchone() is None:
        time.sleep(0.02)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_an_interruption_is_one_line_or_none(
    database: Database, connection: Connection, *, is_loaded: bool
) -> None:
    """Whether the command's parts are loaded yet or not: nobody sees a stack trace."""
    with _held_up(database) as process:
        if is_loaded:
            _await_lock(process, connection)
        else:
            time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert process.returncode in {-signal.SIGINT, 130, 1}
    assert len(told.strip().splitlines()) <= 1


def test_a_command_that_is_ended_cleans_up_and_says_so_in_one_line(
    database: Database, connection: Connection
) -> None:
    """SIGTERM is how a service manager ends a command, which may have restored a copy."""
    with _held_up(database) as process:
        _await_lock(process, connection)
        process.terminate()
        _, told = process.communicate(timeout=60)
        assert connection.execute(_WAITS).fetchone() is None
    assert process.returncode == 143, told
    [line] = told.strip().splitlines()
    assert line.startswith("ft-ops: ended: what it had not finished is not done. Next: ")


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("lawsuit\nby a family", "a line break"), ("lawsuit \udcff", "no text in this terminal")],
)
def test_a_reason_that_is_no_line_of_text_is_told_in_one_line(
    ft_ops: Command, database: Database, reason: str, cause: str
) -> None:
    add = ("hold", "add", "--month", "2017-03", "--force", "--reason", reason)
    _is_one_line(ft_ops(*add, FT_DATABASE_URL=database.url), cause, "write it in")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("migrate", "fingerprint", ""), "argument ''"),
        (("migrate", "fingerprint", "   "), "argument ' '"),
        (("hold", "add", "--month", "2017-03", "--reason="), "argument --reason"),
        (("restore", "--family", ""), "argument --family"),
        (("backup", "hold", "", "--reason", "x"), "argument ''"),
        (("web", "-h", ""), "argument -h"),
        (
            ("evidence", "--from", "2026-01-01", "--to", "2026-02-01", "--folder", ""),
            "argument --folder",
        ),
    ],
)
def test_an_empty_argument_is_none(ft_ops: Command, arguments: tuple[str, ...], named: str) -> None:
    _is_one_line(ft_ops(*arguments), f"{named}: it is empty", "leave it out")


def test_an_argument_may_end_with_a_sign_that_begins_values(
    ft_ops: Command, database: Database
) -> None:
    add = ("hold", "add", "--month", "2017-03", "--force", "--reason=number=")
    assert ft_ops(*add, FT_DATABASE_URL=database.url).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", "add", "--month", "x" * 100_000, "--reason", "x"),
        ("hold", "add", "--month", "2017-03", f"--{'x' * 100_000}=1"),
        ("hold", "release", "x " * 50_000),
        ("migrate", "fingerprint", "/proc/" + "x" * 100_000),
        ("restore", f"--family={'x' * 100_000}"),
        ("x" * 100_000,),
        ("hold", "add", "--month", "2017-03", "--reason", "x\n" * 50_000),
    ],
)
def test_a_long_argument_is_told_by_its_beginning(
    ft_ops: Command, database: Database, arguments: tuple[str, ...]
) -> None:
    done = ft_ops(*arguments, FT_DATABASE_URL=database.url)
    [line] = done.stderr.strip().splitlines()
    assert done.returncode in {1, 2}
    assert "…" in line
    assert len(line) < 1_000


def test_text_that_would_move_the_cursor_is_shown_without_its_power(
    ft_ops: Command, database: Database, connection: Connection
) -> None:
    connection.execute(
        "INSERT INTO ops.legal_holds (month, reason, placed_by) VALUES ('2017-03-01', %s, 'ada')",
        ("a lawsuit\n    2  month 2099-01\x1b[2K of M\u00fcller",),
    )
    listed = ft_ops("hold", "list", FT_DATABASE_URL=database.url).stdout
    assert "\x1b" not in listed
    assert "a lawsuit 2 month 2099-01 [2K of M\u00fcller" in listed


@pytest.mark.parametrize("report", ["nowhere/report.json", "/proc/report.json"])
def test_a_demo_is_not_begun_for_a_report_that_could_not_be_written(
    ft_ops: Command, report: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _is_one_line(ft_ops("demo", "--report", report), f"report {report}", "a folder that exists")
    assert list(tmp_path.iterdir()) == []


def test_more_months_than_there_are_is_refused(ft_ops: Command) -> None:
    assert "1<=x<=1200" in ft_ops("sample", "--months", "1201").stderr


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "minio"])
def test_an_endpoint_that_is_no_url_is_told_in_one_line(
    ft_ops: Command, database: Database, endpoint: str
) -> None:
    settings = {"FT_DATABASE_URL": database.url, "FT_ARCHIVE_BUCKET": "memories"}
    done = ft_ops("archive", "adopt", AWS_ENDPOINT_URL_S3=endpoint, **settings)
    _is_one_line(done, f"Invalid endpoint: {endpoint}", "http:// or https://")


def test_a_user_without_a_name_may_place_a_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as any number."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert person().startswith(f"uid {os.getuid()}@")


def _is_one_line(
    done: subprocess.CompletedProcess[str], cause: str, next_step: str, status: int = 1
) -> None:
    assert done.returncode == status, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    said, _, after = line.partition("Next: ")
    assert cause in said
    assert next_step in after


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://"),
        ("AWS_MAX_ATTEMPTS", "many"),
        ("AWS_RETRY_MODE", "sometimes"),
        ("AWS_CONFIG_FILE", __file__),
        ("AWS_CA_BUNDLE", "/nope.pem"),
    ],
)
def test_a_variable_of_awss_that_is_none_is_one_line(
    ft_ops: Command, database: Database, variable: str, value: str
) -> None:
    environment = {
        "FT_DATABASE_URL": database.url,
        "FT_ARCHIVE_BUCKET": "familytales-archive",
        "AWS_ENDPOINT_URL_S3": "https://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_REGION": "us-east-1",
        variable: value,
    }
    done = ft_ops("archive", "adopt", **environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Next: " in done.stderr
