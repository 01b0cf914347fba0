"""Recovers a restored data folder on a server of its own, and looks at its files.

Nothing of the original's configuration is used: it may name folders, libraries and standbys of
another machine, or archive what this copy writes into the original's archive.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import conninfo

from ft_ops.backups.barman.wal import lsn_number
from ft_ops.backups.drill.isolated import WHAT_HOLDS_IT, isolated, what_holds_it
from ft_ops.backups.drill.notes import Notes
from ft_ops.backups.drill.restored_folder import write_anew
from ft_ops.backups.drill.server_log import (
    crash,
    failed_recovery,
    missing_from_copy,
    refuse_what_stays_so,
    what_befell,
)
from ft_ops.backups.drill.tablespaces import IN_PLACE_SINCE
from ft_ops.backups.points.coverage import WITHOUT_CHECKSUMS
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import ContentError, DrillFinding, Examined
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import Server
from ft_ops.pg.sqlfiles import statement

_POLL_SECONDS = 0.1

# What reading restored rows needs. Everything else that is preloaded might act on its own: a job
# scheduler would run its jobs in the copy.
_HARMLESS_LIBRARIES = frozenset({"timescaledb"})

_SETTINGS: Mapping[str, str] = {
    # The copy is disposable, and nothing in it may change while it is compared.
    "fsync": "off",
    # A torn page is the machine's crash, and the copy does not outlive it.
    "full_page_writes": "off",
    "autovacuum": "off",
    "archive_mode": "off",
    "hot_standby": "off",
    # A subscription would take from its publisher what the original has to get.
    "max_logical_replication_workers": "0",
    # Both must hold two segments, and initdb allows segments of up to 1 GB.
    "min_wal_size": "2GB",
    "max_wal_size": "4GB",
    "shared_buffers": "128MB",
    "work_mem": "64MB",
    "max_connections": "20",
    "timezone": "UTC",
    # Messages are matched below.
    "lc_messages": "C",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "recovery_target_action": "promote",
    "timescaledb.max_background_workers": "0",
    "timescaledb.telemetry_level": "off",
}

_LOGIN_TRIGGERS_SINCE = 170_000

_CHECKSUMS = "checksums"
_STATE = "Database cluster state"
_SHUT_DOWN = frozenset({"shut down", "shut down in recovery"})
"""What pg_checksums takes for stopped."""

_SUFFIX = re.compile(r"(_fsm|_vm|_init)?(\.\d+)?$")
_BAD_BLOCK = re.compile(r'in file "([^"]+)", block (\d+): (.+)')
_BAD_FILE = re.compile(r'(?:could not|file) .*"([^"]+)".*')
_CONTROL_LINE = re.compile(r"^(.+?):\s+(.*)$", re.MULTILINE)
_CHECKED = re.compile(r"^Blocks scanned:\s+(\d+)$", re.MULTILINE)
_SHORT_BLOCK = re.compile(r"could not read block \d+ in file .*: read \d+ of \d+")


@dataclass(frozen=True, slots=True)
class ScratchCopy:
    """A restored copy on a server of our own; a `RestoredCopy`."""

    server: Server
    url: str
    admin_url: str
    evidence: Mapping[str, str]
    point: RestorePoint
    folder: Path

    def blamed_on_data(self, said: str) -> str | None:
        """A role or database that is gone, or a crash: nobody is refused here, and nobody kills."""
        return missing_from_copy(said, self.point) or crash(self.server)

    def check_files(self) -> Examined:
        """Stop the server cleanly and verify the checksum of every block of the cluster."""
        try:
            names = _relation_names(self.url)
            pg.stop(self.server)
        except (OpsError, psycopg.Error) as error:
            return _not_looked_at(self.server, str(error).strip())
        if (state := control_data(self.server).get(_STATE)) not in _SHUT_DOWN:
            return _not_looked_at(self.server, f"its server did not stop cleanly: it is {state}")
        return check_blocks(self.server, names)

    @contextmanager
    def reopened(self) -> Iterator[str]:
        """The server started once more, as isolated as before: recovery has ended for good."""
        with isolated(self.server, self.folder):
            yield self.url


@contextmanager
def recovered(
    server: Server,
    point: RestorePoint,
    operations_url: str,
    wal: Path,
    *,
    folder: Path,
    timeout_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[ScratchCopy]:
    """Run a restored data folder, recovered to ``point`` with the log in ``wal``.

    Both are closed off already; the server can write below ``folder`` only. An OpsError when the
    data are of another cluster, or when recovery does not reach the point; it quotes what the
    server logged.
    """
    control = control_data(server)
    _refuse_other_cluster(server, control, point)
    _configure(server, point, wal, control)
    with ExitStack() as stack:
        with _naming_failures(server, point):
            stack.enter_context(isolated(server, folder))
            url = _url_of_copy(server, operations_url, point)
            replayed = _await_recovery(
                server, url, point, until=clock() + timeout_seconds, sleep=sleep, clock=clock
            )
        evidence = _evidence(server, point, replayed)
        yield ScratchCopy(server, url, _admin_url(server, url), evidence, point, folder)


def scratch_settings(point: RestorePoint) -> dict[str, str]:
    """What a server is configured with that shall read a copy of the database, and no more."""
    preloaded = [name for name in point.preloaded if name in _HARMLESS_LIBRARIES]
    settings = {**_SETTINGS, "shared_preload_libraries": ", ".join(preloaded)}
    if point.server_version >= IN_PLACE_SINCE:
        settings["allow_in_place_tablespaces"] = "on"
    if point.server_version >= _LOGIN_TRIGGERS_SINCE:
        settings["event_triggers"] = "off"
    return settings


def control_data(server: Server) -> Mapping[str, str]:
    """What pg_controldata says of a data folder; an OpsError when it can't be read."""
    done = pg.run_program(server, "pg_controldata", [str(server.data_dir)])
    if done.returncode != 0:
        said = done.stderr.strip()
        if "No such file" in said or "read " in said:
            raise ContentError(
                f"data folder {server.data_dir}",
                cause=f"pg_controldata: {said}",
                next_step="the backup lacks its control file: try an older backup",
            )
        raise OpsError(
            f"data folder {server.data_dir}",
            cause=f"pg_controldata: {said}",
            next_step="let the server's user read it: see FT_DRILL_FOLDER",
        )
    return dict(_CONTROL_LINE.findall(done.stdout))


def check_blocks(server: Server, relations: Mapping[str, str]) -> Examined:
    """Verify the checksum of every block of a stopped server with pg_checksums.

    ``relations`` maps paths below the data folder to names, for the findings. A cluster without
    data checksums has nothing to verify: that is told, and is no fault of a backup.
    """
    if control_data(server).get("Data page checksum version") == "0":
        return Examined(0, unsaid=(WITHOUT_CHECKSUMS,))
    done = pg.run_program(server, "pg_checksums", ["--check", "--pgdata", str(server.data_dir)])
    notes = Notes(_CHECKSUMS)
    for path, problem, is_damage in _complaints(done.stderr):
        subject = _relation(path, server, relations)
        (notes.findings if is_damage else notes.undecided).append(
            DrillFinding(_CHECKSUMS, subject, problem)
        )
    if done.returncode != 0 and not notes.subjects:
        notes.undecided.append(DrillFinding(_CHECKSUMS, "the cluster", done.stderr.strip()))
    scanned = _CHECKED.search(done.stdout)
    return notes.examined(int(scanned[1]) if scanned else 0)


def _not_looked_at(server: Server, why: str) -> Examined:
    """Files that nobody could verify; what befell the server's machine may be the cause."""
    befell = what_befell(server)
    problem = why if befell is None or befell in why else f"{why} ({befell})"
    return Examined(0, undecided=(DrillFinding(_CHECKSUMS, "the cluster", problem),))


def _refuse_other_cluster(server: Server, control: Mapping[str, str], point: RestorePoint) -> None:
    system = control.get("Database system identifier", "")
    if system != point.system_identifier:
        raise ContentError(
            f"restored folder {server.data_dir}",
            cause=f"it is of the cluster {system}, and the point {point.name} of "
            f"{point.system_identifier}",
            next_step="find out which other server writes its backups into this bucket",
        )


def _configure(server: Server, point: RestorePoint, wal: Path, control: Mapping[str, str]) -> None:
    access = server.data_dir.with_name("pg_hba.conf")
    write_anew(access, "local all all trust\n")
    identities = server.data_dir.with_name("pg_ident.conf")
    write_anew(identities, "")
    for name in ("postgresql.conf", "postgresql.auto.conf", "recovery.signal"):
        write_anew(server.data_dir / name, "")
    pg.configure(
        server,
        {
            **scratch_settings(point),
            "hba_file": str(access),
            "ident_file": str(identities),
            "max_prepared_transactions": control.get("max_prepared_xacts setting", "0"),
            "restore_command": f'cp "{wal}/%f" "%p"',
            "recovery_target_name": point.name,
            "recovery_target_timeline": str(point.mark.timeline),
        },
    )
    for path in (access, identities, wal, server.data_dir):
        pg.hand_over(path)


@contextmanager
def _naming_failures(server: Server, point: RestorePoint) -> Iterator[None]:
    try:
        yield
    except ContentError:
        raise
    except OpsError as error:
        raise failed_recovery(server, point, error.cause) from error


def _await_recovery(
    server: Server,
    url: str,
    point: RestorePoint,
    *,
    until: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> str:
    """Poll until recovery has ended; pg_ctl reports success before that. Returns the LSN."""
    while True:
        if not pg.is_running(server):
            raise OpsError("recovery", cause="the server ended", next_step="see its log")
        try:
            with psycopg.connect(url, connect_timeout=5) as connection:
                row = one_row(connection.execute(statement("backups/recovery_state")))
                is_in_recovery, replayed = row
                if not is_in_recovery:
                    return str(replayed)
        except psycopg.OperationalError as error:
            # It takes connections when recovery has ended.
            refuse_what_stays_so(str(error), point)
        if clock() > until:
            raise OpsError(
                "recovery",
                cause="it did not end in time",
                next_step="give it longer by FT_BACKUP_TIMEOUT_MINUTES if it was at work",
            )
        sleep(_POLL_SECONDS)


def _evidence(server: Server, point: RestorePoint, replayed: str) -> dict[str, str]:
    """Where recovery stopped; an OpsError unless that is the point.

    Without a target, or with one that is never met, a server may come up healthy and lack rows.
    """
    log = pg.server_log(server, lines=10_000)
    reached = next((line for line in log.splitlines() if f'point "{point.name}"' in line), "")
    at_point = lsn_number(replayed) == lsn_number(point.mark.lsn)
    if "recovery stopping at restore point" not in reached or not at_point:
        raise ContentError(
            f"recovery to {point.name}",
            cause=f"it ended at {replayed}, and the point is at {point.mark.lsn}",
            next_step="take a full backup now; the log between the two is not what was written",
            wal=point.mark.wal,
        )
    return {
        "log": reached.removeprefix("LOG:").strip(),
        "replayed to": replayed,
        WHAT_HOLDS_IT: what_holds_it(),
    }


def _url_of_copy(server: Server, operations_url: str, point: RestorePoint) -> str:
    """The database by the name that it had at the point: it may have been renamed since."""
    parts = conninfo.conninfo_to_dict(operations_url)
    return server.url(point.database, user=str(parts.get("user") or "ft_ops"))


def _admin_url(server: Server, url: str) -> str:
    with connect(url, application="drill") as connection:
        row = one_row(connection.execute(statement("backups/bootstrap_superuser")))
    return server.url(row[0], user=row[1])


def _relation_names(url: str) -> dict[str, str]:
    with connect(url, application="drill") as connection:
        return dict(connection.execute(statement("backups/relation_files")).fetchall())


def _complaints(said: str) -> Iterator[tuple[str, str, bool]]:
    """Path, problem, and whether that is damage, or only says that the file could not be read."""
    for line in said.splitlines():
        block = _BAD_BLOCK.search(line)
        file = _BAD_FILE.search(line)
        if block is not None:
            yield block[1], f"block {block[2]}: {block[3]}", True
        elif file is not None:
            is_short = _SHORT_BLOCK.search(line) is not None
            yield file[1], line.partition("error: ")[2], is_short or "No such file" in line


def _relation(path: str, server: Server, relations: Mapping[str, str]) -> str:
    """The relation's name, or the file's where it is none of this database's."""
    below = path.removeprefix(f"{server.data_dir}/").removeprefix("./")
    return relations.get(_SUFFIX.sub("", below), below)
