"""A sandbox is real, apart from everything else, and gone when its command is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psycopg
import pytest
from mypy_boto3_s3 import S3Client

from ft_ops.errors import OpsError
from ft_ops.pg.server import plain_locale
from ft_ops.sandbox import Sandbox, run_in_sandbox, sandbox

REPOSITORY = Path(__file__).parents[2]
RUN = (
    "import sys; from ft_ops.sandbox import run_in_sandbox; sys.exit(run_in_sandbox(sys.argv[1:]))"
)
HOLD = "from ft_ops.sandbox import hold_sandbox; hold_sandbox()"


def silent(message: str) -> None:
    """Announces nothing."""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox(silent) as started:
        yield started


@pytest.fixture
def place() -> Iterator[Path]:
    """A TMPDIR for the sandboxes of one test; short, because socket paths are limited."""
    folder = Path(tempfile.mkdtemp(prefix="ft-place-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_databases_are_those_of_production_in_small(box: Sandbox) -> None:
    with psycopg.connect(box.database_url) as connection:
        assert connection.info.dbname == "familytales"
        found = connection.execute(
            """
            SELECT
                pg_get_userbyid(datdba),
                pg_encoding_to_char(encoding),
                datcollate,
                current_user::text,
                current_setting('server_version_num')::integer / 10000,
                current_setting('data_checksums'),
                current_setting('TimeZone'),
                (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
            FROM pg_database
            WHERE datname = current_database()
            """
        ).fetchone()
    assert found == ("ft_ops", "UTF8", plain_locale()[0], "ft_ops", 16, "on", "UTC", False)


def test_a_finished_wal_segment_arrives_whole_in_the_spool(box: Sandbox) -> None:
    with psycopg.connect(box.admin_url, autocommit=True) as connection:
        segment = switch_wal(connection)
        wait_until((box.wal_spool / segment).exists)
        whole = connection.execute(
            "SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'"
        ).fetchone()
    assert ((box.wal_spool / segment).stat().st_size,) == whole
    assert (box.wal_spool / segment).stat().st_mode & 0o444 == 0o444
    assert not list(box.wal_spool.glob(".*"))


def test_archiving_never_replaces_a_segment_that_differs() -> None:
    with (
        sandbox(silent) as box,
        psycopg.connect(box.admin_url, autocommit=True) as connection,
    ):
        row = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
        assert row is not None
        (box.wal_spool / row[0]).write_text("of another server")
        assert switch_wal(connection) == row[0]
        wait_until(
            lambda: (
                connection.execute("SELECT last_failed_wal FROM pg_stat_archiver").fetchone() == row
            )
        )
        assert (box.wal_spool / row[0]).read_text() == "of another server"


def test_the_archive_bucket_keeps_versions_and_locks(box: Sandbox) -> None:
    s3 = s3_client(box)
    for bucket in (box.archive_bucket, box.backup_bucket):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    lock = s3.get_object_lock_configuration(Bucket=box.archive_bucket)
    assert lock["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"

    first = s3.put_object(Bucket=box.archive_bucket, Key="key", Body=b"first")
    s3.put_object(Bucket=box.archive_bucket, Key="key", Body=b"second")
    again = s3.get_object(Bucket=box.archive_bucket, Key="key", VersionId=first["VersionId"])
    assert again["Body"].read() == b"first"


def test_dagster_loads_the_projects_settings_over_the_sandboxes_storage(box: Sandbox) -> None:
    show = """if True:
        import dagster
        instance = dagster.DagsterInstance.get()
        pools = instance.get_concurrency_config().pool_config
        print(type(instance.run_storage).__name__, instance.get_runs_count())
        print(instance.run_monitoring_enabled, instance.telemetry_enabled)
        print(pools.default_pool_limit, pools.pool_granularity.value)
    """
    shown = subprocess.run(
        [sys.executable, "-c", show],
        env=box.child_environment(os.environ),
        capture_output=True,
        check=True,
        text=True,
    )
    assert shown.stdout.split() == ["PostgresRunStorage", "0", "True", "False", "1", "op"]


def test_nothing_of_outside_reaches_a_command_in_the_sandbox(box: Sandbox) -> None:
    outside = {"AWS_PROFILE": "production", "PGHOST": "db", "FT_RETENTION_YEARS": "9"}
    inside = box.child_environment(outside | {"FT_DATABASE_URL": "postgresql://production"})
    assert "AWS_PROFILE" not in inside
    assert "PGHOST" not in inside
    assert inside["FT_DATABASE_URL"] == box.database_url
    assert inside["FT_RETENTION_YEARS"] == "9"


def test_one_worker_makes_the_sandbox_of_all_these_tests(
    box: Sandbox, request: pytest.FixtureRequest
) -> None:
    """Where tests are dealt out by groups: the name of each is what xdist deals out by."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("the tests are not dealt out by groups")
    assert request.node.nodeid.endswith("@box-sandbox")


def test_two_sandboxes_at_once_do_not_meet(box: Sandbox) -> None:
    with sandbox(silent) as other:
        assert other.root != box.root
        with psycopg.connect(other.database_url) as connection:
            connection.execute("CREATE TABLE only_here ()")
        with psycopg.connect(box.database_url) as connection:
            row = connection.execute("SELECT to_regclass('only_here')").fetchone()
        assert row == (None,)
        s3_client(other).put_object(Bucket=other.archive_bucket, Key="only-here", Body=b"")
        listing = s3_client(box).list_objects_v2(Bucket=box.archive_bucket, Prefix="only-here")
        assert listing["KeyCount"] == 0
    with psycopg.connect(box.database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_end_of_a_killed_command_is_handed_on() -> None:
    assert run_in_sandbox(["sh", "-c", "kill -KILL $$"]) == 137


def test_a_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(OpsError, match="command no-such-command: No such file"):
        run_in_sandbox(["no-such-command"])


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.chaos)]
)
def test_a_signal_reaches_the_command_which_may_finish(place: Path, number: signal.Signals) -> None:
    command = f"trap 'exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with started(RUN, "sh", "-c", command, place=place) as process:
        assert first_line(process) == "ready"
        process.send_signal(number)
        assert process.wait(timeout=60) == 5
    assert not list(place.iterdir())


def test_a_held_sandbox_prints_its_environment_and_ends_on_ctrl_c(place: Path) -> None:
    """And whatever umask its user has, the server's user gets where it must."""
    with started(HOLD, place=place, umask=0o077) as process:
        prefix = "export FT_DATABASE_URL='"
        line = first_line(process)
        assert line.startswith(prefix)
        with psycopg.connect(line.removeprefix(prefix).removesuffix("'")) as connection:
            assert connection.info.user == "ft_ops"
        (drills,) = place.glob("ft-sandbox-*/drills")
        passed_through = drills.stat().st_mode & 0o001
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert passed_through
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param("*/tmp", signal.SIGKILL, id="before-initdb", marks=pytest.mark.chaos),
        pytest.param("*/data/global", signal.SIGKILL, id="during-initdb", marks=pytest.mark.chaos),
        pytest.param("*/data/postmaster.pid", signal.SIGKILL, id="during-start"),
        pytest.param("command-runs", signal.SIGKILL, id="running"),
        pytest.param(
            "*/data/postmaster.pid",
            signal.SIGTERM,
            id="during-start-politely",
            marks=pytest.mark.chaos,
        ),
    ],
)
def test_nothing_is_left_of_a_killed_command(
    place: Path, moment: str, number: signal.Signals
) -> None:
    command = f"touch {place}/command-runs; exec sleep 600"
    with started(RUN, "sh", "-c", command, place=place) as process:
        wait_until(lambda: any(place.glob(moment)))
        process.send_signal(number)
        process.wait(timeout=60)
    wait_until(lambda: not any(place.glob("ft-sandbox-*")))
    wait_until(lambda: not processes_that_name(place))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_gets_a_sandbox_too(place: Path) -> None:
    python = python_for_everyone()
    if python is None or not everyone_may_enter(REPOSITORY):
        pytest.skip("an ordinary user can't read any Python of this version, or this checkout")
    done = subprocess.run(
        [python, "-c", RUN, "sh", "-c", 'id -un; test -O "$DAGSTER_HOME"'],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        env={
            **environment(place),
            "PYTHONPATH": f"{REPOSITORY}:{sysconfig.get_path('purelib')}",
        },
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "nobody\n"), done.stderr
    assert not list(place.iterdir())


def switch_wal(connection: psycopg.Connection) -> str:
    """Finish the current WAL segment, after writing something into it; its file name."""
    connection.execute("SELECT pg_logical_emit_message(false, 'test', 'something')")
    row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row is not None
    return str(row[0])


def s3_client(box: Sandbox) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=box.s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )


def python_for_everyone() -> Path | None:
    """A Python of our version that an ordinary user may run; ours may be under /root."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (Path(sys.executable), Path(f"/usr/bin/python{version}")):
        if candidate.exists() and everyone_may_enter(candidate.resolve().parent):
            return candidate
    return None


def everyone_may_enter(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(REPOSITORY)}


def started(code: str, *arguments: str, place: Path, umask: int = -1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment(place),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        umask=umask,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def processes_that_name(place: Path) -> list[str]:
    """The processes whose command line or environment holds ``place``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # ended meanwhile, or not ours to look at
            continue
        if os.fsencode(place) in text:
            found.append(process.name)
    return found
