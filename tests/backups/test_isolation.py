"""A drill changes no byte outside its folder, whatever the copy and its log say."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.drill.checks import fingerprints
from ft_ops.backups.drill.isolated import WHAT_HOLDS_IT
from ft_ops.backups.drill.recovery import ScratchCopy, recovered
from ft_ops.backups.drill.restored_folder import close_off
from ft_ops.backups.drill.scratch import scratch_folder, server_in
from ft_ops.backups.drill.tablespaces import keep_tablespaces_in
from ft_ops.backups.points.points import Mark, RestorePoint, take_point
from ft_ops.backups.provider import ContentError
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.server import Server
from ft_ops.pg.supervision.walls import confinement, connects_to_nobody

_SEGMENT = 16 << 20
_TABLESPACES = 11


@dataclass(frozen=True, slots=True)
class Original:
    """A server that is stopped, so that nobody but a drill could change its files, and its backup.

    After the base backup ``copy`` it made tablespaces and moved a table into one; after ``point``,
    to which the log in ``archive`` leads, it changed every row.
    """

    server: Server
    home: Path
    copy: Path
    point: RestorePoint

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def publisher(self) -> Path:
        """Where its subscription calls."""
        return self.home.with_name(f"{self.home.name}-pub") / ".s.PGSQL.5432"

    def files(self) -> dict[str, object]:
        """Everything in its folders: what links lead to, what files hold, when they changed."""
        found: dict[str, object] = {}
        for path in self.home.rglob("*"):
            info = path.lstat()
            content = str(path.readlink()) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            facts = (content, info.st_mode, info.st_uid, info.st_mtime_ns)
            found[str(path)] = facts
        return found


@dataclass(frozen=True, slots=True)
class Restored:
    """The base backup, unpacked in a drill's folder, and the log beside it."""

    original: Original
    folder: Path

    @property
    def server(self) -> Server:
        return server_in(self.folder, self.original.server.bin_dir)

    @property
    def data(self) -> Path:
        return self.server.data_dir

    @property
    def segments(self) -> list[Segment]:
        names = (path.name for path in (self.folder / "wal").iterdir() if len(path.name) == 24)
        return sorted(Segment.parse(name, _SEGMENT) for name in names)

    def close_off(self) -> list[str]:
        return close_off(self.data, self.folder)

    def keep_tablespaces_in(self) -> list[str]:
        said: list[str] = []
        version = self.original.point.server_version
        wal = self.folder / "wal"
        pg.hand_over(wal)
        keep_tablespaces_in(self.server, wal, self.segments, version, said.append)
        return said

    @contextmanager
    def recovered(self) -> Iterator[ScratchCopy]:
        pg.hand_over(self.folder)
        original = self.original
        with recovered(
            self.server,
            original.point,
            original.server.url(),
            self.folder / "wal",
            folder=self.folder,
            timeout_seconds=60,
        ) as copy:
            yield copy


@pytest.fixture(scope="module")
def original() -> Iterator[Original]:
    with tempfile.TemporaryDirectory(prefix="ft-live-") as name:
        home = Path(name)
        home.chmod(0o755)
        bin_dir = pg.reachable_binaries(pg.embedded_binaries(), home / "postgres")
        server = Server(bin_dir, home / "data", home / "run")
        pg.initialise(server)
        (home / "archive").mkdir()
        pg.hand_over(home / "archive")
        archive = f'cp "%p" "{home}/archive/%f"'
        settings = {"archive_mode": "on", "archive_command": archive}
        pg.configure(server, {**settings, "max_logical_replication_workers": "0"})
        with pg.running(server), connect(server.url(), application="tests") as connection:
            connection.execute("CREATE TABLE notes AS SELECT generate_series(1, 500) AS id")
            connection.execute(
                f"CREATE SUBSCRIPTION taken CONNECTION 'host={home}-pub' PUBLICATION theirs"
                " WITH (connect = false)"
            )
            connection.execute("ALTER SUBSCRIPTION taken ENABLE")
            _back_up(connection, server, home / "copy")
            _move_to_a_tablespace(connection, home)
            point = take_point(server.url(), "here", _mark, cluster=_cluster(connection))
            connection.execute("UPDATE notes SET id = id + 1000000")
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        copy = home.with_name(f"{home.name}-copy")
        (home / "copy").rename(copy)
        try:
            yield Original(server, home, copy, point)
        finally:
            shutil.rmtree(copy)


@pytest.fixture
def restored(original: Original, place: Path) -> Iterator[Restored]:
    with scratch_folder(place, original.server.bin_dir) as folder:
        restored = Restored(original, folder)
        shutil.copytree(original.copy, restored.data, symlinks=True)
        shutil.copytree(original.archive, folder / "wal")
        before = original.files()
        yield restored
        assert original.files() == before


def test_tablespaces_that_the_log_creates_are_replayed_inside_the_copy(restored: Restored) -> None:
    """Their paths are so long that some of their records lie on two pages of the log."""
    restored.close_off()
    said = restored.keep_tablespaces_in()
    assert len(said) == _TABLESPACES
    with restored.recovered() as copy, connect(copy.url, application="tests") as connection:
        assert fingerprints(connection, restored.original.point).findings == ()
        path = connection.execute("SELECT pg_relation_filepath('notes')").fetchone()
        assert path is not None
        assert path[0].startswith("pg_tblspc/")
        inside = (restored.data / path[0]).resolve()
        assert inside.is_relative_to(restored.folder.resolve())
        assert copy.evidence[WHAT_HOLDS_IT]
        connection.execute("DROP TABLE notes")
        assert copy.check_files().findings == ()


@pytest.mark.skipif(confinement() is None, reason="this kernel has no Landlock")
def test_the_kernel_holds_back_what_nobody_looked_for(restored: Restored) -> None:
    """Replay goes to the original's folder and is refused: that says nothing of the backup."""
    restored.close_off()
    with pytest.raises(OpsError, match=r"denied|File exists") as refused, restored.recovered():
        pass
    assert not isinstance(refused.value, ContentError)


def test_a_copy_that_leads_to_its_original_is_closed_off(restored: Restored) -> None:
    live, data = restored.original.server.data_dir, restored.data
    shutil.rmtree(data / "pg_wal")
    (data / "pg_wal").symlink_to(live / "pg_wal")
    (data / "pg_tblspc" / "99999").symlink_to(restored.original.home / "late")
    (data / "log").symlink_to(restored.original.home)
    (data / "postgresql.auto.conf").unlink()
    (data / "postgresql.auto.conf").symlink_to(live / "postgresql.auto.conf")
    (data / "global" / "pg_filenode.map").unlink()
    os.link(live / "global" / "pg_filenode.map", data / "global" / "pg_filenode.map")
    os.mkfifo(data / "pg_hba.pipe")
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{live}\n")
    (data / "standby.signal").touch()
    settings = {
        "include_dir": str(live),
        "archive_mode": "on",
        "archive_command": f"cp %p {restored.original.archive}/stolen",
        "ssl": "on",
        "ssl_cert_file": "/no/such/file",
        "shared_preload_libraries": "no_such_library",
        "logging_collector": "on",
        "log_directory": str(restored.original.archive),
        "data_directory": str(live),
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    said = " ".join(restored.close_off())
    assert all(name in said for name in ("99999", "log", "pg_filenode.map", "pipe", "postmaster"))
    restored.keep_tablespaces_in()
    with restored.recovered() as copy, connect(copy.url, application="tests") as connection:
        assert fingerprints(connection, restored.original.point).findings == ()
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


def test_a_copy_calls_nobody(restored: Restored) -> None:
    """Neither to follow a subscription, which would move the slot of the original, nor if told."""
    restored.close_off()
    restored.keep_tablespaces_in()
    publisher = restored.original.publisher
    publisher.parent.mkdir()
    publisher.parent.chmod(0o755)
    call = (
        f"socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un(q({publisher}))) or print $!"
    )
    program = f"perl -MSocket -e '{call}' 2>&1"
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(publisher))
            publisher.chmod(0o777)
            listening.listen()
            listening.setblocking(False)
            with (
                restored.recovered() as copy,
                connect(copy.admin_url, application="tests") as connection,
            ):
                connection.execute("CREATE TEMP TABLE said (line text)")
                quoted = program.replace("'", "''")
                connection.execute(f"COPY said FROM PROGRAM '{quoted}'")
                said = str(connection.execute("SELECT * FROM said").fetchall())
                workers = connection.execute(
                    "SELECT backend_type FROM pg_stat_activity WHERE backend_type ~ 'logical'"
                ).fetchall()
            assert workers == []
            if connects_to_nobody():
                assert "Permission denied" in said
                with pytest.raises(BlockingIOError):
                    listening.accept()
    finally:
        shutil.rmtree(publisher.parent)


@pytest.mark.parametrize("lost", ["base", "global/pg_control", "pg_xact/0000"])
def test_data_that_lie_elsewhere_are_not_in_the_backup(restored: Restored, lost: str) -> None:
    """To use them where they lie would be to use the original's."""
    path = restored.data / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(restored.original.server.data_dir / lost)
    with pytest.raises(
        OpsError, match=f"{lost} is a link to .*{lost}: what belongs there"
    ) as error:
        restored.close_off()
    assert not isinstance(error.value, ContentError)


def test_a_map_of_tablespaces_is_followed_only_where_they_were_restored(restored: Restored) -> None:
    shown = restored.data / "tablespace_map"
    (restored.folder / "tablespaces" / "known").mkdir(parents=True)
    (restored.data / "pg_tblspc" / "11").symlink_to(restored.folder / "tablespaces" / "known")
    shown.write_text("11 /somewhere/live\n")
    restored.close_off()
    assert not shown.exists()
    shown.write_text("11 /somewhere/live\n12 /elsewhere/live\n")
    with pytest.raises(OpsError, match="tablespaces that were not restored: 12 /elsewhere/live"):
        restored.close_off()


def test_before_tablespaces_could_lie_inside_nothing_is_replayed(restored: Restored) -> None:
    wal = restored.folder / "wal"
    pg.hand_over(wal)
    with pytest.raises(OpsError, match="in its original place alone before version 15"):
        keep_tablespaces_in(restored.server, wal, restored.segments, 140_000, print)


def test_where_nothing_holds_the_server_a_log_that_can_not_be_read_is_not_replayed(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = restored.folder / "wal" / restored.segments[-1].name
    last.write_bytes(bytes(_SEGMENT))
    assert "up to where pg_waldump stopped" in restored.keep_tablespaces_in()[0]
    monkeypatch.setattr("ft_ops.backups.drill.tablespaces.confinement", lambda: None)
    with pytest.raises(OpsError, match="pg_waldump could not read all of it"):
        restored.keep_tablespaces_in()
    without = Server(Path("/nowhere"), restored.data, restored.server.socket_dir)
    with pytest.raises(OpsError, match="there is no pg_waldump in /nowhere"):
        keep_tablespaces_in(without, restored.folder, restored.segments, 160_000, print)


_DRILLS = """
import sys, time
from pathlib import Path
from ft_ops.backups.drill.isolated import isolated
from ft_ops.backups.drill.scratch import scratch_folder, server_in
from ft_ops.pg import server as pg
with scratch_folder(Path(sys.argv[1]), Path(sys.argv[2])) as folder:
    server = server_in(folder, Path(sys.argv[2]))
    pg.initialise(server)
    with isolated(server, folder):
        print(server.data_dir, flush=True)
        time.sleep(600)
"""


def test_a_killed_drill_takes_its_server_along_and_the_next_sweeps(place: Path) -> None:
    bin_dir = pg.reachable_binaries(pg.embedded_binaries(), place / "postgres")
    drill = subprocess.Popen(
        [sys.executable, "-c", _DRILLS, place, bin_dir], stdout=subprocess.PIPE, text=True
    )
    assert drill.stdout is not None
    with drill.stdout:
        data = Path(drill.stdout.readline().strip())
        server = Server(bin_dir, data, data.with_name("run"))
        assert pg.is_running(server)
        drill.send_signal(signal.SIGKILL)
        drill.wait()
    until = time.monotonic() + 20
    while pg.is_running(server):
        assert time.monotonic() < until
        time.sleep(0.02)
    with scratch_folder(place, bin_dir):
        assert not data.parent.exists()


def test_what_can_not_be_swept_is_no_concern_of_a_drill(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody still writes into the folder of a drill that was killed."""
    left = place / "ft-drill-left"
    left.mkdir()
    (left / "lock").touch()
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)
    with scratch_folder(place, Path("/nowhere")) as folder:
        assert folder.is_dir()
        assert (left / "lock").exists()


def test_a_process_that_a_restored_folder_names_is_not_stopped(place: Path) -> None:
    """Numbers of processes are used again, and a copy may name its original's."""
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    try:
        server = Server(Path("/nowhere"), place / "data", place / "run")
        server.data_dir.mkdir()
        (server.data_dir / "postmaster.pid").write_text(f"{bystander.pid}\n")
        assert not pg.is_running(server)
        pg.stop(server, mode="immediate")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def _back_up(connection: Connection, server: Server, to: Path) -> None:
    """A base backup as barman-cloud takes it: the files, and the label that the server gives."""
    connection.execute("SELECT pg_backup_start('tests', true)")
    shutil.copytree(
        server.data_dir,
        to,
        symlinks=True,
        ignore=shutil.ignore_patterns("postmaster.*", "0000000?????????????????", "*.ready"),
    )
    row = connection.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
    assert row is not None
    (to / "backup_label").write_text(row[0])


def _move_to_a_tablespace(connection: Connection, home: Path) -> None:
    for number in range(_TABLESPACES):
        place = home / "late" / ("a" * 200) / ("b" * 200) / ("c" * 200) / str(number)
        place.mkdir(parents=True)
        pg.hand_over(home / "late")
        connection.execute(f"CREATE TABLESPACE late{number} LOCATION '{place}'")
    connection.execute("ALTER TABLE notes SET TABLESPACE late7")
    connection.execute("DELETE FROM notes WHERE id = 7")


def _mark(connection: Connection, name: str) -> Mark:
    row = connection.execute(
        "SELECT lsn::text, pg_walfile_name(lsn) FROM pg_create_restore_point(%s) AS lsn", (name,)
    ).fetchone()
    assert row is not None
    return Mark(lsn=row[0], wal=row[1])


def _cluster(connection: Connection) -> str:
    row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert row is not None
    return str(row[0])
