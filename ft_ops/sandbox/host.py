"""The process that owns a sandbox's parts: ``python -m ft_ops.sandbox.host VERSION MEBIBYTES``.

It makes the folder, starts S3 and PostgreSQL, prints one line of JSON (where things are, or what
went wrong), and holds everything until its standard input closes. Doing it all in one process
that outlives its parent means that a parent killed at any moment, even during the start, leaves
neither processes nor files.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg import sql

import ft_ops
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root, statement
from ft_ops.sandbox.servers import (
    APPLICATION_DATABASE,
    DAGSTER_DATABASE,
    DAGSTER_ROLE,
    REGION,
    Sandbox,
    server_in,
)
from ft_ops.sandbox.stores.moto_server import object_store
from ft_ops.sandbox.stores.seaweedfs import seaweedfs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SETTINGS: Mapping[str, str] = {
    # Nothing survives the machine's crash anyway; a killed backend or server loses nothing by it.
    "fsync": "off",
    "wal_level": "replica",
    "archive_mode": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "track_io_timing": "on",
    "autovacuum": "on",
}


def main() -> None:
    """Host one sandbox until standard input closes."""
    signal.signal(signal.SIGTERM, _end)
    # The server's user, another one under root, passes through; what is private says so itself.
    os.umask(0o022)
    try:
        with _folder() as root, _hosted(root, *map(int, sys.argv[1:])) as box:
            _report(
                {
                    "root": str(box.root),
                    "bin_dir": str(box.bin_dir),
                    "s3_endpoint": box.s3_endpoint,
                    "backup_endpoint": box.backup_endpoint,
                }
            )
            sys.stdin.buffer.read()
    except OpsError as error:
        _report({"what": error.what, "cause": error.cause, "next_step": error.next_step})
        sys.exit(1)


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


def _report(answer: Mapping[str, str | None]) -> None:
    # A parent that is gone needs no answer; the closed standard input ends us next.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


@contextmanager
def _folder() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="ft-sandbox-"))
    try:
        # The server's user passes through, and nobody can list what is here.
        root.chmod(0o711)
        yield root
    finally:
        _remove(root)


def _remove(folder: Path) -> None:
    # An archive_command that the server's immediate stop orphaned may still add its file.
    for _ in range(20):
        try:
            shutil.rmtree(folder)
        except OSError:
            time.sleep(0.1)
        else:
            return
    shutil.rmtree(folder)


@contextmanager
def _hosted(root: Path, version: int, segment_mebibytes: int) -> Iterator[Sandbox]:
    temporary_dir = root / "tmp"
    temporary_dir.mkdir()
    with object_store(temporary_dir) as s3_endpoint, _backup_store(root / "s3") as backup_endpoint:
        bin_dir = pg.reachable_binaries(pg.embedded_binaries(version), root / "postgres")
        server = server_in(root, bin_dir)
        _initialise(server, root / "wal", segment_mebibytes)
        with pg.running(server, stop_mode="immediate"):
            box = Sandbox(root, bin_dir, s3_endpoint(), backup_endpoint())
            _make_databases(box)
            _make_buckets(box)
            _make_dagster_home(box)
            box.drill_folder.mkdir()
            _make_evidence_key(box)
            yield box


def _backup_store(folder: Path) -> AbstractContextManager[Callable[[], str | None]]:
    """SeaweedFS for the backups, where FT_SANDBOX_SEAWEEDFS names its program."""
    program = os.environ.get("FT_SANDBOX_SEAWEEDFS")
    return nullcontext(lambda: None) if not program else seaweedfs(Path(program).absolute(), folder)


def _initialise(server: pg.Server, spool: Path, segment_mebibytes: int) -> None:
    pg.initialise(server, wal_segment_mebibytes=segment_mebibytes)
    spool.mkdir()
    pg.hand_over(spool)
    pg.configure(server, {**_SETTINGS, "archive_command": _archive_command(spool)})


def _archive_command(spool: Path) -> str:
    """Copy a segment to the spool: all of it or nothing, and never over one that differs.

    The segments become readable to all, because whoever ships them need not be the server's user.
    """
    folder = shlex.quote(str(spool)).replace("%", "%%")
    return (
        f"if test -e {folder}/%f; then cmp -s %p {folder}/%f; "
        f"else cp %p {folder}/.%f.part && chmod 644 {folder}/.%f.part "
        f"&& mv {folder}/.%f.part {folder}/%f; fi"
    )


def _make_databases(box: Sandbox) -> None:
    with connect(box.admin_url, application="sandbox") as connection:
        connection.execute(
            statement("sandbox/create_login_role").format(name=sql.Identifier(DAGSTER_ROLE))
        )
        # bootstrap.sql gives the application's database to the operations.
        for name, owner in ((APPLICATION_DATABASE, "postgres"), (DAGSTER_DATABASE, DAGSTER_ROLE)):
            connection.execute(
                statement("sandbox/create_database").format(
                    name=sql.Identifier(name), owner=sql.Identifier(owner)
                )
            )
    application_url = box.server.url(APPLICATION_DATABASE)
    with connect(application_url, application="sandbox") as connection:
        connection.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())


def _make_buckets(box: Sandbox) -> None:
    s3 = _client(box.s3_endpoint)
    s3.create_bucket(Bucket=box.archive_bucket, ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket=box.staging_bucket)
    buckets = [box.archive_bucket, box.staging_bucket]
    if box.backup_endpoint is None:
        s3.create_bucket(Bucket=box.backup_bucket)
        buckets.append(box.backup_bucket)
    else:
        # It enforces policies, and has neither keys nor blocks of public access.
        own = _client(box.backup_endpoint)
        own.create_bucket(Bucket=box.backup_bucket)
        _version(own, box.backup_bucket)
    for bucket in buckets:
        _version(s3, bucket)
        _protect(s3, bucket)


def _client(endpoint: str) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        config=Config(proxies={}),
    )


def _version(s3: S3Client, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _make_evidence_key(box: Sandbox) -> None:
    key = Ed25519PrivateKey.generate()
    descriptor = os.open(box.evidence_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _protect(s3: S3Client, bucket: str) -> None:
    """Give a bucket what deploy/aws/bucket.yaml gives it.

    The sandbox's endpoint remembers it, and enforces none of it: its clients come over plain HTTP.
    """
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    tls_only = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(
        Bucket=bucket,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls_only]}),
    )


def _make_dagster_home(box: Sandbox) -> None:
    package = Path(ft_ops.__file__).parent
    installed = package / "dagster.yaml"
    settings = installed if installed.is_file() else package.parent / "dagster.yaml"
    box.dagster_home.mkdir()
    shutil.copyfile(settings, box.dagster_home / "dagster.yaml")


if __name__ == "__main__":
    main()
