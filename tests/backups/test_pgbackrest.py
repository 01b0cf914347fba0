"""pgBackRest takes backups, and these operations prove and delete them.

Debian 12 has version 2.45, which knows servers up to PostgreSQL 15: `make versions` fetches both.
It keeps three repositories at once: a folder, another that is encrypted, and one in S3 that is
encrypted and bundled, behind TLS as it wants it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pytest

from ft_ops.backups.drill.drill import run_drill
from ft_ops.backups.drill.plan import DrillPlan, files_plan, named_plan, newest_plan
from ft_ops.backups.inventory import ledger, verdicts
from ft_ops.backups.inventory.inventory import Inventory, Item, first_wal, take_inventory
from ft_ops.backups.pgbackrest.catalog import parse_info, stored_backups
from ft_ops.backups.pgbackrest.delete import delete_backup
from ft_ops.backups.pgbackrest.provider import PgBackRestProvider
from ft_ops.backups.pgbackrest.repository import Repository, StoredFile
from ft_ops.backups.points.bucket_records import place_hold
from ft_ops.backups.provider import ContentError, StoredBackup, Taken
from ft_ops.backups.providers import open_provider
from ft_ops.backups.retention.deletion import delete_backups, deletions
from ft_ops.backups.retention.retention import Candidate, Rules, plan_retention
from ft_ops.backups.take.take import take_full, take_increment
from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket
from ft_ops.schema import load_migrations, run_migrations
from ft_ops.settings import load_settings
from tests.fixtures.postgres import Database
from tests.fixtures.tls import tls_before
from tests.production.policies import REPOSITORY

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# One worker has the server, and the tests in their order: its repository is empty for the first.
pytestmark = pytest.mark.xdist_group("pgbackrest")

FETCHED = REPOSITORY / "build" / "pgbackrest"
"""Where `make versions` puts the program and a server that it knows."""

_minutes = count(1)

RULES = Rules(days=7, weeks=4, months=12, floor=1, stale=timedelta(days=1000))


def _fetched(path: str) -> Path:
    for root in (FETCHED, Path("/")):
        if (root / path).exists():
            return root / path
    pytest.skip(f"there is no {path} in {FETCHED}: make versions fetches it on Debian 12")


@dataclass(slots=True)
class Stanza:
    """A server that pgBackRest backs up. The repository goes on from test to test."""

    root: Path
    s3: Bucket
    connection: Connection
    bucket: Bucket
    provider: PgBackRestProvider

    def full(self) -> Taken:
        return take_full(self.connection, self.provider, self.bucket, **self._run())

    def increment(self) -> Taken:
        return take_increment(self.connection, self.provider, self.bucket, **self._run())

    def write(self) -> None:
        self.connection.execute(
            "INSERT INTO audit_log (user_id, action, user_agent)"
            " SELECT gen_random_uuid(), 'tested', n::text FROM generate_series(1, 100) AS n"
        )

    def drill(self, plan: DrillPlan) -> list[str]:
        """Hold a drill; which checks it passed."""
        drill = run_drill(self.connection, self.provider, self.bucket, plan, **self._run())
        assert drill.source.backup == plan.backup.name
        return [check.check for check in drill.checks]

    def entries(self) -> list[ledger.Entry]:
        return ledger.entries(self.connection)

    def inventory(self) -> Inventory:
        return take_inventory(
            self.connection, self.provider, self.bucket, now=datetime.now(UTC), log=print
        )

    def item(self, name: str) -> Item:
        (found,) = [item for item in self.inventory().items if item.name == name]
        return found

    def stored(self, name: str) -> StoredBackup:
        (found,) = [backup for backup in self.provider.stored_backups() if backup.name == name]
        return found

    @property
    def repository(self) -> Path:
        """The folder of a repository that is one."""
        return self.root / _FOLDERS[self.provider.repository.number]

    def file(self, pattern: str) -> Path:
        return next(iter(sorted(self.repository.glob(pattern))))

    def _run(self) -> dict[str, Any]:
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(_minutes))
        return {"now": now, "run_id": "tests", "log": lambda line: None}


FOLDER, ENCRYPTED, IN_S3 = 1, 2, 3
_BUCKET = "pgbackrest-repository"
_FOLDERS = {FOLDER: "repo", ENCRYPTED: "encrypted"}


@pytest.fixture(scope="module")
def running(s3_endpoint: str) -> Iterator[tuple[Path, Database]]:
    """A migrated database on a server that archives by pgBackRest."""
    program = _fetched("usr/bin/pgbackrest")
    programs = _fetched("usr/lib/postgresql/15/bin")
    with TemporaryDirectory(prefix="ft-pgbackrest-") as name, tls_before(s3_endpoint) as port:
        root = Path(name)
        root.chmod(0o755)
        bin_dir = programs
        if programs.is_relative_to(FETCHED):
            # Where the server's user may get at it, with all that lies relative to it.
            shutil.copytree(FETCHED / "usr", root / "usr", symlinks=True)
            bin_dir = root / programs.relative_to(FETCHED)
        server = pg.Server(bin_dir, root / "data", root / "run")
        _install(root, program, server, port)
        pg.initialise(server)
        push = f"{root}/bin/pgbackrest.real --config={root}/conf --stanza=main archive-push %p"
        pg.configure(server, {"fsync": "off", "archive_mode": "on", "archive_command": push})
        with pg.running(server, stop_mode="immediate"), pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
            patch.setenv("FT_PG_BIN_DIR", str(bin_dir))
            _s3(s3_endpoint).create_bucket(Bucket=_BUCKET)
            create = ["pgbackrest", f"--config={root}/conf", "--stanza=main", "stanza-create"]
            subprocess.run(create, check=True)
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute("CREATE DATABASE familytales ENCODING 'UTF8'")
            database = Database("familytales", server.url())
            with psycopg.connect(database.admin_url, autocommit=True) as admin:
                admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
            with connect(database.url, application="tests") as connection:
                run_migrations(connection, load_migrations())
            yield root, database


def _s3(endpoint: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )


@pytest.fixture
def repository() -> int:
    """The number of the repository that a test uses."""
    return FOLDER


@pytest.fixture
def stanza(
    running: tuple[Path, Database],
    repository: int,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stanza]:
    """No backup, an empty ledger, and an empty bucket."""
    root, database = running
    (root / "drills").mkdir(exist_ok=True)
    (root / "drills").chmod(0o711)
    for name, value in {
        "FT_DATABASE_URL": database.url,
        "FT_BACKUP_PROVIDER": "pgbackrest",
        "FT_BACKUP_BUCKET": bucket.name,
        "FT_PGBACKREST_CONFIG": str(root / "conf"),
        "FT_PGBACKREST_REPOSITORY": str(repository),
        "FT_DRILL_FOLDER": str(root / "drills"),
        "FT_WAL_ARRIVAL_SECONDS": "60",
    }.items():
        monkeypatch.setenv(name, value)
    with connect(database.url, application="tests") as connection:
        connection.execute("TRUNCATE ops.restore_drills, ops.backups")
        provider = open_provider(load_settings(), connection, bucket)
        assert isinstance(provider, PgBackRestProvider)
        yield Stanza(root, Bucket(_BUCKET, bucket.client), connection, bucket, provider)


@pytest.mark.versions
@pytest.mark.parametrize("repository", [FOLDER, ENCRYPTED, IN_S3])
def test_a_backups_life_by_pgbackrest(stanza: Stanza, repository: int) -> None:
    """Taken, restored and looked at, and let go of once another has taken its place."""
    full = stanza.full().point.name
    stanza.write()
    increment = stanza.increment().point.name
    assert [(e.name, tuple(e.needs)) for e in stanza.entries()] == [
        (full, ()),
        (increment, (full,)),
    ]
    assert [item for item in stanza.inventory().broken if item.entry is not None] == []
    # The newest point by the log, which proves the full; and the increment by its own files.
    by_log = newest_plan(stanza.entries())
    assert (by_log.backup.name, by_log.target.name) == (full, increment)
    assert {"fingerprint", "indexes", "checksums"} <= set(stanza.drill(by_log))
    by_files = files_plan(stanza.entries())
    assert by_files == named_plan(stanza.entries(), increment)
    assert by_files is not None
    assert stanza.drill(by_files)
    assert [entry.verdict for entry in stanza.entries()] == ["proven", "proven"]
    state = stanza.provider.log_state(
        stanza.connection, first_wal(stanza.entries(), stanza.provider)
    )
    assert [said for said in state.problems if "own retention" not in said] == []

    _nothing_goes_that_is_needed(stanza, full, increment)
    second = stanza.full().point.name
    # Its own settings keep one full: they were not let loose.
    assert stanza.item(full).problem is None
    told = " ".join(stanza.provider.log_state(stanza.connection, None).problems)
    assert f"own retention: remove expired backup {stanza.stored(full).provider_id}" in told
    assert stanza.drill(newest_plan(stanza.entries()))
    place_hold(stanza.bucket, second, {"by": "tests"})
    inventory = replace(stanza.inventory(), taken_at=datetime.now(UTC) + timedelta(days=40))
    plan = plan_retention([*inventory.candidates, *_ladder(inventory)], RULES, inventory.taken_at)
    chosen = deletions(inventory, plan, RULES)
    assert [deletion.item.name for deletion in chosen] == [increment, full]
    done = delete_backups(
        stanza.connection, stanza.provider, stanza.bucket, inventory, chosen, print
    )
    assert done.failed == ()
    left = stanza.inventory()
    known = [(item.name, item.problem) for item in left.items if item.entry is not None]
    assert known == [(second, None)]
    begin = first_wal(stanza.entries(), stanza.provider)
    assert begin is not None
    log = stanza.provider.archived_log()
    assert log.holes(begin) == []
    assert min(log.archived.segments) == begin
    assert stanza.drill(newest_plan(stanza.entries()))


def _nothing_goes_that_is_needed(stanza: Stanza, full: str, increment: str) -> None:
    with pytest.raises(Refused, match="can't be restored without it"):
        stanza.provider.delete(stanza.stored(full), [], print)
    stanza.provider.hold(stanza.stored(increment))
    assert stanza.item(increment).is_held
    assert stanza.item(increment).problem is None
    stanza.provider.release(stanza.stored(increment))
    assert not stanza.item(increment).is_held


@pytest.mark.versions
@pytest.mark.parametrize("repository", [FOLDER, ENCRYPTED])
def test_damage_in_the_repository_is_found_and_what_says_nothing_is_told_apart(
    stanza: Stanza, repository: int
) -> None:
    name = stanza.full().point.name
    label = stanza.stored(name).provider_id
    plan = newest_plan(stanza.entries())
    part = stanza.file(f"backup/main/{label}/pg_data/base/*/1255.lz4")
    with _flipped(part), pytest.raises(ContentError, match=r"contentChecksum_invalid|lz4"):
        stanza.drill(plan)
    assert stanza.entries()[0].verdict == "refuted"
    assert stanza.drill(plan)
    segment = plan.target.mark_wal
    with (
        _flipped(stanza.file(f"archive/main/*/*/{segment}-*")),
        pytest.raises(ContentError, match=r"FormatError|lz4"),
    ):
        stanza.drill(plan)
    assert stanza.entries()[0].verdict == "refuted"
    assert stanza.drill(plan)
    with _moved(part):
        item = stanza.item(name)
        assert item.problem is not None
        assert "its objects files are missing or not what was written" in item.problem
        with pytest.raises(OpsError, match="its objects files are missing") as refused:
            stanza.drill(plan)
        assert not isinstance(refused.value, ContentError)
    assert stanza.item(name).problem is None
    with _moved(stanza.file(f"archive/main/*/*/{segment}-*")):
        assert "its log is missing" in str(stanza.item(name).problem)
    with (
        _moved(stanza.repository / "backup" / "main" / "backup.info"),
        _moved(stanza.repository / "backup" / "main" / "backup.info.copy"),
        pytest.raises(OpsError, match="missing stanza data"),
    ):
        # Nobody knows what there is: that is not nothing.
        stanza.inventory()
    assert stanza.item(name).problem is None
    assert stanza.entries()[0].verdict == "proven"


@pytest.mark.versions
def test_what_another_provider_took_is_out_of_sight_and_nothing_more(stanza: Stanza) -> None:
    """FT_BACKUP_PROVIDER was changed: nobody looks into the other store."""
    full = stanza.full().point.name
    stanza.connection.execute("UPDATE ops.backups SET provider = 'barman'")
    verdicts.pass_drill(
        stanza.connection,
        verdicts.begin_drill(stanza.connection, full, full, "tests"),
        restored_to=datetime.now(UTC),
        recovery_seconds=1,
        loss_seconds=1,
        certificate={},
    )
    item = stanza.item(full)
    assert "barman took it, and FT_BACKUP_PROVIDER is pgbackrest now" in str(item.problem)
    assert first_wal(stanza.entries(), stanza.provider) is None
    inventory = replace(stanza.inventory(), taken_at=datetime.now(UTC) + timedelta(days=400))
    plan = plan_retention(_ladder(inventory), RULES, inventory.taken_at)
    assert deletions(inventory, plan, RULES) == []


ANSWER: dict[str, Any] = {
    "name": "main",
    "db": [{"id": 1, "repo-key": 1, "system-id": 7, "version": "15"}],
    "repo": [{"key": 1, "status": {"code": 0, "message": "ok"}}],
    "backup": [
        {
            "label": "20260101-000000F",
            "type": "full",
            "database": {"id": 1, "repo-key": 1},
            "timestamp": {"start": 1767225600, "stop": 1767225660},
            "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000002"},
            "annotation": {"ft-ops": "full-a"},
        },
        {
            "label": "20260101-000000F_20260101-060000I",
            "type": "incr",
            "database": {"id": 1, "repo-key": 1},
            "timestamp": {"start": 1767247200, "stop": 1767247260},
            "archive": {"start": "000000010000000000000004", "stop": "000000010000000000000004"},
            "annotation": {"ft-ops": "increment-a"},
            "reference": ["20260101-000000F"],
        },
    ],
}


def test_what_is_not_whole_or_not_ours_is_named_and_what_needs_it() -> None:
    labels = [backup["label"] for backup in ANSWER["backup"]]
    whole = {f"{label}/{name}" for label in labels for name in ("backup.manifest", "pg_data/x")}

    def conditions(present: set[str], system: str = "7") -> dict[str, str]:
        files = {path: StoredFile(type="file", size=1) for path in present}
        catalog = parse_info([ANSWER], "main", 1)
        found = stored_backups(catalog, files, system_identifier=system, place="here")
        return {backup.name: backup.condition for backup in found}

    assert conditions(whole) == {"full-a": "complete", "increment-a": "complete"}
    assert set(conditions(whole, "8").values()) == {"foreign"}
    for lost in ("backup.manifest", "pg_data/x"):
        assert conditions(whole - {f"{labels[0]}/{lost}"}) == {
            "full-a": "damaged",
            "increment-a": "damaged",
        }
        assert conditions(whole - {f"{labels[1]}/{lost}"})["full-a"] == "complete"
    unfinished = conditions({*whole, "20260102-000000F/pg_data/x", "backup.history/x"})
    assert unfinished["20260102-000000F"] == "unfinished"
    assert len(unfinished) == 3


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"error": "no"},
        [{**ANSWER, "name": "another"}],
        [{**ANSWER, "repo": [{"key": 1, "status": {"code": 99, "message": "other"}}]}],
        [{**ANSWER, "repo": [{"key": 2, "status": {"code": 0, "message": "ok"}}]}],
        [{**ANSWER, "backup": [{"label": "20260101-000000F"}]}],
    ],
)
def test_an_answer_that_is_not_certain_is_no_empty_list(answer: object) -> None:
    with pytest.raises(OpsError, match="pgbackrest info"):
        parse_info(answer, "main", 1)


EXPIRES = "P00   INFO: [DRY-RUN] repo1: remove expired backup 20260101-000000F_20260101-060000I\n"
LOG = "P00   INFO: [DRY-RUN] repo1: 15-1 remove archive, start = {0}, stop = {0}\n"


@pytest.mark.parametrize(
    ("shown", "refusal"),
    [
        (EXPIRES, None),
        (EXPIRES + LOG.format("000000010000000000000001"), None),
        (
            EXPIRES + LOG.format("000000010000000000000002"),
            "needs it from 000000010000000000000002",
        ),
        (
            EXPIRES + "P00   INFO: [DRY-RUN] repo1: remove expired backup 20260101-000000F\n",
            "would",
        ),
        (EXPIRES + "P00   INFO: [DRY-RUN] repo1: remove all of it\n", "is not understood"),
        ("", "is not understood"),
        ("P00   INFO: [DRY-RUN] expire command begin 2.45\n", "would delete nothing"),
    ],
)
def test_only_what_was_named_is_deleted(
    monkeypatch: pytest.MonkeyPatch, shown: str, refusal: str | None
) -> None:
    asked: list[tuple[str, ...]] = []

    def ask(_self: Repository, *arguments: str, console: str = "off") -> str:
        asked.append((*arguments, console))
        return shown

    monkeypatch.setattr(Repository, "ask", ask)
    catalog = parse_info([ANSWER], "main", 1)
    files = {
        f"{backup['label']}/{name}": StoredFile(type="file", size=1)
        for backup in ANSWER["backup"]
        for name in ("backup.manifest", "pg_data/x")
    }
    full, increment = stored_backups(catalog, files, system_identifier="7", place="here")
    repository = Repository(None, "main", 1)
    with pytest.raises(Refused, match="can't be restored without it"):
        delete_backup(repository, catalog, full, [increment], 16 << 20, print)
    assert asked == []
    if refusal is None:
        delete_backup(repository, catalog, increment, [full], 16 << 20, print)
        dry, real = asked
        assert [a for a in dry if a != "--dry-run"][:-1] == list(real[:-1])
        assert "--repo1-retention-archive=1" in real
        return
    with pytest.raises(OpsError, match=refusal):
        delete_backup(repository, catalog, increment, [full], 16 << 20, print)
    assert len(asked) == 1


def _ladder(inventory: Inventory) -> list[Candidate]:
    """Good nights since, which take every place: what is older may go."""
    days = [inventory.taken_at - timedelta(days=n) for n in range(400)]
    return [Candidate(f"full-later-{n}", "full", at, "verified") for n, at in enumerate(days)]


def _install(root: Path, program: Path, server: pg.Server, port: int) -> None:
    """The program, its configuration, and repositories that both users of it can read."""
    for name in ("bin", "repo", "encrypted", "lock", "log"):
        (root / name).mkdir()
        pg.hand_over(root / name)
    for name in ("lock", "log"):
        (root / name).chmod(0o777)
    shutil.copy(program, root / "bin" / "pgbackrest.real")
    wrapper = root / "bin" / "pgbackrest"
    # As root the server has another user, who has to read what this one writes.
    owner = pg.server_user()
    repositories = f"{root}/repo {root}/encrypted"
    give = f"chown -R {owner.pw_uid}:{owner.pw_gid} {repositories} 2>/dev/null" if owner else ":"
    wrapper.write_text(f'#!/bin/sh\n{wrapper}.real "$@"\nstatus=$?\n{give}\nexit $status\n')
    wrapper.chmod(0o755)
    (root / "conf").write_text(
        f"[global]\nrepo1-path={root}/repo\nlock-path={root}/lock\nlog-path={root}/log\n"
        "compress-type=lz4\narchive-timeout=60\nrepo1-retention-full=1\n"
        f"repo2-path={root}/encrypted\nrepo2-retention-full=1\n"
        "repo2-cipher-type=aes-256-cbc\nrepo2-cipher-pass=a passphrase\n"
        f"repo3-type=s3\nrepo3-path=/it\nrepo3-s3-bucket={_BUCKET}\nrepo3-s3-uri-style=path\n"
        f"repo3-s3-endpoint=127.0.0.1\nrepo3-storage-port={port}\nrepo3-storage-verify-tls=n\n"
        "repo3-s3-region=us-east-1\nrepo3-s3-key=tests\nrepo3-s3-key-secret=tests\n"
        "repo3-cipher-type=aes-256-cbc\nrepo3-cipher-pass=another\n"
        "repo3-bundle=y\nrepo3-retention-full=1\n"
        f"[main]\npg1-path={server.data_dir}\npg1-socket-path={server.socket_dir}\n"
        "pg1-user=postgres\n"
    )


@contextmanager
def _flipped(path: Path) -> Iterator[None]:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :])
    try:
        yield
    finally:
        path.write_bytes(content)


@contextmanager
def _moved(path: Path) -> Iterator[None]:
    repository = next(parent for parent in path.parents if parent.name in _FOLDERS.values())
    away = repository.with_name(f"{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)
