"""A logical dump each month, in a Glacier class: the copy that needs neither barman nor RDS.

Restored storage of RDS can't go to Glacier, and base backups are deleted long before Glacier's
minimum ages are over. A dump is neither, and any later PostgreSQL reads it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from psycopg import sql

from ft_ops.backups.claims import claim_bucket, taking
from ft_ops.backups.drill.checks import CheckResult, records, run_checks
from ft_ops.backups.drill.isolated import isolated
from ft_ops.backups.drill.recovery import ScratchCopy, scratch_settings
from ft_ops.backups.drill.scratch import refuse_too_little_room, scratch_folder, server_in
from ft_ops.backups.dump.objects import ROLES, dump_prefix, part_key, stored_dumps
from ft_ops.backups.inventory import ledger, verdicts
from ft_ops.backups.points.bucket_records import write_certificate, write_point
from ft_ops.backups.points.points import RestorePoint, exported_point
from ft_ops.backups.provider import Log, ProviderName, StoredBackup, Taken
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.connect import Connection, connect, locked_now
from ft_ops.pg.server import Server
from ft_ops.pg.supervision.walls import Walls
from ft_ops.programs import connection_of, run, streaming
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import (
    StoredObject,
    copy_to_class,
    delete_version,
    download,
    put_once,
    read_current,
)
from ft_ops.s3.upload import UploadOnce, abort_upload, half_uploads

PART_BYTES: Final = 1 << 30
_CHUNK_BYTES: Final = 1 << 20
_JOBS: Final = 2
_NO_LOCK: Final = "LOCK TABLE"
"""What pg_dump's error quotes when the statement by which it locks all tables has failed."""


@dataclass(frozen=True, slots=True)
class DumpRules:
    """How dumps are made: by whose programs, proven where, kept in which class."""

    bin_dir: Path
    drill_folder: Path
    storage_class: str
    timeout_seconds: float
    part_bytes: int = PART_BYTES
    lock_wait_ms: int = 30_000


def take_dump(
    connection: Connection,
    url: str,
    bucket: Bucket,
    rules: DumpRules,
    *,
    provider: ProviderName,
    cluster: str,
    now: datetime,
    run_id: str,
    log: Log,
) -> Taken:
    """Dump the database into the bucket, restore the stored bytes, check them, and freeze them.

    The fingerprint is of the very snapshot that is dumped. An OpsError when the copy is not equal;
    Refused while another dump is being taken.
    """
    name = ledger.new_name("dump", now)
    claim_bucket(connection, bucket, cluster, taking(name))
    with ledger.taking(connection, provider, name, "dump", run_id):
        _abort_dead_uploads(connection, bucket)
        point, parts = _dump(url, bucket, rules, name, cluster, log)
        proof = _prove(bucket, rules, point, parts, log)
        _freeze(bucket, rules, parts)
        write_point(bucket, point)
        stored = next(dump for dump in stored_dumps(bucket) if dump.name == name)
        ledger.complete(connection, point, stored)
        _record_proof(connection, bucket, stored, proof, run_id)
    return Taken(point, stored)


@dataclass(frozen=True, slots=True)
class _Proof:
    point: RestorePoint
    checks: tuple[CheckResult, ...]
    recovery_seconds: float


def _abort_dead_uploads(connection: Connection, bucket: Bucket) -> None:
    """Parts of uploads that died are stored and paid for, and no listing shows them.

    Of this ledger's failed dumps alone: another cluster may be uploading one at this moment.
    """
    for entry in ledger.entries(connection):
        if entry.kind == "dump" and entry.state == "failed":
            for upload in half_uploads(bucket, dump_prefix(entry.name)):
                abort_upload(bucket, upload)


def _dump(
    url: str, bucket: Bucket, rules: DumpRules, name: str, cluster: str, log: Log
) -> tuple[RestorePoint, list[StoredObject]]:
    target, environment = connection_of(url)
    roles = run(
        str(rules.bin_dir / "pg_dumpall"),
        ["--roles-only", "--no-role-passwords", "--dbname", target],
        timeout_seconds=rules.timeout_seconds,
        environment=environment,
    )
    put_once(bucket, f"{dump_prefix(name)}{ROLES}", roles.encode())
    parts: list[StoredObject] = []

    def dump(snapshot: str) -> None:
        arguments = [
            "--format=custom",
            f"--snapshot={snapshot}",
            # It takes no lock_timeout of ours, and would wait for a locked table for ever.
            f"--lock-wait-timeout={rules.lock_wait_ms}",
            "--dbname",
            target,
        ]
        with (
            _saying_who_locks(url),
            streaming(
                str(rules.bin_dir / "pg_dump"),
                arguments,
                timeout_seconds=rules.timeout_seconds,
                environment=environment,
            ) as output,
        ):
            parts.extend(_upload(bucket, name, output, rules.part_bytes))

    point = exported_point(url, name, cluster=cluster, use=dump)
    log(f"{len(parts)} parts, {sum(part.bytes for part in parts):,} bytes")
    return point, parts


@contextmanager
def _saying_who_locks(url: str) -> Iterator[None]:
    """For a dump that could not lock every table: its error names which are locked, and by whom."""
    try:
        yield
    except OpsError as error:
        if _NO_LOCK not in error.cause:
            raise
        with connect(url, application="dump") as connection:
            locked = locked_now(connection)
        if " locked by session " not in locked:
            raise  # It may not lock one, or one was dropped: the program's own words say which.
        raise OpsError(
            error.what,
            cause=f"not every table could be locked for reading: {locked}",
            next_step="wait for that session to end, or end it, then run again",
        ) from error


def _upload(
    bucket: Bucket, name: str, output: IO[bytes], part_bytes: int
) -> Iterator[StoredObject]:
    """Cut the stream into objects that one request can copy to another storage class."""
    size = min(_CHUNK_BYTES, part_bytes)
    chunk = output.read(size)
    number = 0
    while chunk:
        with UploadOnce(bucket, part_key(name, number)) as upload:
            while chunk and upload.tell() < part_bytes:
                upload.write(chunk)
                chunk = output.read(size)
        yield upload.stored
        number += 1


def _prove(
    bucket: Bucket,
    rules: DumpRules,
    point: RestorePoint,
    parts: Sequence[StoredObject],
    log: Log,
) -> _Proof:
    """Restore what is stored, by version, on a server of our own; an OpsError unless equal."""
    began = time.monotonic()
    size = sum(part.bytes for part in parts)
    refuse_too_little_room(rules.drill_folder, point.cluster_bytes + 2 * size)
    with scratch_folder(rules.drill_folder, rules.bin_dir) as folder:
        _fetch(bucket, parts, folder / "dump")
        bin_dir = pg.reachable_binaries(rules.bin_dir, folder / "postgres")
        server = server_in(folder, bin_dir)
        pg.initialise(server)
        pg.configure(server, scratch_settings(point))
        with isolated(server, folder):
            roles = read_current(bucket, f"{dump_prefix(point.name)}{ROLES}")
            _restore(server, rules, point, folder, roles)
            seconds = time.monotonic() - began
            url = server.url(point.database)
            copy = ScratchCopy(server, url, url, {"restored by": "pg_restore"}, point, folder)
            checks = tuple(run_checks(copy, point, log))
    _refuse_unproven(point, checks)
    return _Proof(point, checks, seconds)


def _refuse_unproven(point: RestorePoint, checks: Sequence[CheckResult]) -> None:
    findings = [str(finding) for check in checks for finding in check.findings]
    if findings:
        raise OpsError(
            f"dump {point.name}",
            cause="restored, it is not what was dumped: " + "; ".join(findings),
            next_step="run monthly_dump again; the parts are left in the bucket to look at",
        )
    undecided = [str(finding) for check in checks for finding in check.undecided]
    if undecided:
        raise OpsError(
            f"dump {point.name}",
            cause="restored, not everything of it could be looked at: " + "; ".join(undecided),
            next_step="correct what it names, then run monthly_dump again",
        )


def _fetch(bucket: Bucket, parts: Sequence[StoredObject], file: Path) -> None:
    part_file = file.with_suffix(".part")
    with file.open("wb") as whole:
        for part in parts:
            download(bucket, part, part_file)
            with part_file.open("rb") as fetched:
                shutil.copyfileobj(fetched, whole, _CHUNK_BYTES)
    part_file.unlink(missing_ok=True)


def _restore(
    server: Server, rules: DumpRules, point: RestorePoint, folder: Path, roles: bytes
) -> None:
    roles_file = folder / ROLES
    roles_file.write_bytes(roles)
    # The superuser exists already: psql goes on after an error here, as it does by default.
    psql = ["--quiet", "--no-psqlrc", "--dbname", server.url(), "--file", str(roles_file)]
    _run(server, rules, folder, "psql", psql)
    with connect(server.url(), application="dump") as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(point.database))
        )
    url = server.url(point.database)
    with connect(url, application="dump") as connection, _hypertables_restored(connection, point):
        # TimescaleDB's own catalog must be restored in order.
        jobs = 1 if "timescaledb" in point.extensions else _JOBS
        arguments = ["--exit-on-error", f"--jobs={jobs}", "--dbname", url]
        # The tablespaces of the original are places of its machine.
        arguments.append("--no-tablespaces")
        # By sections: in one go, parallel jobs may create a partitioned table's triggers before
        # the data of its partitions is loaded, and the triggers fire for each row.
        for section in ("pre-data", "data", "post-data"):
            file = str(folder / "dump")
            section_of_it = [*arguments, f"--section={section}", file]
            _run(server, rules, folder, "pg_restore", section_of_it)


def _run(
    server: Server, rules: DumpRules, folder: Path, program: str, arguments: Sequence[str]
) -> None:
    """Run a client that reads what is stored, where it can write to nothing else.

    psql takes commands to the machine from the very file that holds the roles.
    """
    run(
        str(server.bin_dir / program),
        arguments,
        timeout_seconds=rules.timeout_seconds,
        walls=Walls((folder,)),
    )


@contextmanager
def _hypertables_restored(connection: Connection, point: RestorePoint) -> Iterator[None]:
    """TimescaleDB has to be told of a restore: before, and when it is over."""
    version = point.extensions.get("timescaledb")
    if version is None:
        yield
        return
    connection.execute(
        sql.SQL("CREATE EXTENSION timescaledb VERSION {}").format(sql.Identifier(version))
    )
    connection.execute("SELECT timescaledb_pre_restore()")
    yield
    connection.execute("SELECT timescaledb_post_restore()")


def _freeze(bucket: Bucket, rules: DumpRules, parts: Sequence[StoredObject]) -> None:
    """Move the proven parts into their storage class; the version before goes when the copy is."""
    for part in parts:
        copy_to_class(bucket, part, rules.storage_class)
        delete_version(bucket, part.key, part.version_id)


def _record_proof(
    connection: Connection, bucket: Bucket, stored: StoredBackup, proof: _Proof, run_id: str
) -> None:
    name = stored.name
    certificate: dict[str, object] = {
        "backup": name,
        "location": stored.location,
        "objects": sorted(stored.objects),
        "restored_to": proof.point.at.isoformat(),
        "recovery_seconds": round(proof.recovery_seconds, 3),
        "tables": len(proof.point.tables),
        "rows": proof.point.rows,
        "checks": records(proof.checks),
        "verdict": "proven",
        "target": name,
        "loss_seconds": 0,
        "run_id": run_id,
    }
    write_certificate(bucket, name, name, datetime.now(UTC), certificate)
    verdicts.record_proof(
        connection,
        name,
        restored_to=proof.point.at,
        recovery_seconds=proof.recovery_seconds,
        certificate=certificate,
        run_id=run_id,
    )
