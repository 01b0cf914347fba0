"""Starts a sandbox and says where its parts are.

The parts belong to a host process (``ft_ops.sandbox.host``) in a session of its own. It lives as
long as a pipe from us is open: it ends with the block, and also when we are killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ft_ops.errors import OpsError
from ft_ops.pg.server import EMBEDDED_VERSION, Server

APPLICATION_DATABASE = "familytales"
DAGSTER_DATABASE = "dagster"
OPERATIONS_ROLE = "ft_ops"
DAGSTER_ROLE = "ft_dagster"
REGION = "us-east-1"

_END_SECONDS = 60
# A process of its own ships each segment: many small ones would cost more to start than to ship.
_WAL_SEGMENT_MEBIBYTES = 64


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where the parts of one sandbox are. Its URLs hold no password: the socket is the lock.

    ``backup_endpoint`` is that of the backups' bucket, where a server of its own has it.
    """

    root: Path
    bin_dir: Path
    s3_endpoint: str
    backup_endpoint: str | None = None
    archive_bucket: str = "familytales-archive"
    backup_bucket: str = "familytales-backups"
    staging_bucket: str = "familytales-staging"

    @property
    def server(self) -> Server:
        """The PostgreSQL server: programs, data folder, socket, log."""
        return server_in(self.root, self.bin_dir)

    @property
    def admin_url(self) -> str:
        """The database ``postgres`` as its superuser."""
        return self.server.url()

    @property
    def database_url(self) -> str:
        """The application's database as the operations role."""
        return self.server.url(APPLICATION_DATABASE, user=OPERATIONS_ROLE)

    @property
    def dagster_database_url(self) -> str:
        """Dagster's own database, for SQLAlchemy with psycopg2, the driver that Dagster needs."""
        return self.server.url(DAGSTER_DATABASE, user=DAGSTER_ROLE, scheme="postgresql+psycopg2")

    @property
    def wal_spool(self) -> Path:
        """Where the server leaves its complete WAL segments for the backups to ship."""
        return self.root / "wal"

    @property
    def drill_folder(self) -> Path:
        """Where drills restore to: what a killed one leaves goes with the sandbox."""
        return self.root / "drills"

    @property
    def evidence_key(self) -> Path:
        """The key that signs this sandbox's chain of evidence."""
        return self.root / "evidence.pem"

    @property
    def dagster_home(self) -> Path:
        """A DAGSTER_HOME that holds the project's dagster.yaml."""
        return self.root / "dagster"

    def environment(self) -> dict[str, str]:
        """The variables that point ft-ops, Dagster and boto3 at this sandbox."""
        own = self.backup_endpoint
        return {
            **({} if own is None else {"FT_BACKUP_ENDPOINT_URL": own}),
            "FT_DATABASE_URL": self.database_url,
            "FT_DAGSTER_DATABASE_URL": self.dagster_database_url,
            "FT_ARCHIVE_BUCKET": self.archive_bucket,
            "FT_BACKUP_PROVIDER": "barman",
            "FT_BACKUP_BUCKET": self.backup_bucket,
            "FT_WAL_SPOOL": str(self.wal_spool),
            "FT_DRILL_FOLDER": str(self.drill_folder),
            "FT_EVIDENCE_KEY_FILE": str(self.evidence_key),
            "FT_STAGING_BUCKET": self.staging_bucket,
            "FT_LATENCY_SAMPLES": "30",
            "DAGSTER_HOME": str(self.dagster_home),
            # Every AWS service, not S3 alone: nothing here may reach a real account.
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # A proxy for the world outside must not get requests to this machine.
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def child_environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` for a command in this sandbox: no AWS or libpq setting of outside is left."""
        return without_outside_settings(base) | self.environment()


def server_in(root: Path, bin_dir: Path) -> Server:
    """The PostgreSQL server of the sandbox whose folder is ``root``."""
    return Server(bin_dir=bin_dir, data_dir=root / "data", socket_dir=root / "run")


def without_outside_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` less what would lead boto3 or libpq to anything outside the sandbox."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("AWS_", "PG"))
    }


def _say(message: str) -> None:
    click.echo(message, err=True)


@contextmanager
def sandbox(
    announce: Callable[[str], None] = _say,
    *,
    version: int = EMBEDDED_VERSION,
    wal_segment_mebibytes: int = _WAL_SEGMENT_MEBIBYTES,
) -> Iterator[Sandbox]:
    """Start a sandbox, and remove everything of it at the end of the block.

    ``version`` is PostgreSQL's, one of those that the embedded package carries. Two at once don't
    meet. If this process is killed, the sandbox goes by itself within seconds.
    """
    host = subprocess.Popen(
        [
            *(sys.executable, "-m", "ft_ops.sandbox.host"),
            *(str(version), str(wal_segment_mebibytes)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C in a terminal reaches us, and the host only through us.
        start_new_session=True,
        env=without_outside_settings(os.environ),
    )
    try:
        box = _started(host)
        announce(
            f"sandbox: a disposable PostgreSQL and S3 in {box.root}; "
            "all of it is gone when this command ends"
        )
        yield box
    finally:
        _end(host)


def _started(host: subprocess.Popen[str]) -> Sandbox:
    line = host.stdout.readline() if host.stdout is not None else ""
    if not line:
        raise OpsError(
            "sandbox",
            cause=f"its host process ended with exit status {host.wait()} before it was ready",
            next_step="see its messages above",
        )
    answer: dict[str, Any] = json.loads(line)
    if "cause" in answer:
        raise OpsError(answer["what"], cause=answer["cause"], next_step=answer["next_step"])
    return Sandbox(
        root=Path(answer["root"]),
        bin_dir=Path(answer["bin_dir"]),
        s3_endpoint=answer["s3_endpoint"],
        backup_endpoint=answer["backup_endpoint"],
    )


def _end(host: subprocess.Popen[str]) -> None:
    if host.stdin is not None:
        host.stdin.close()
    try:
        host.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OpsError(
            "sandbox",
            cause=f"its host process {host.pid} did not end within {_END_SECONDS} s",
            next_step="end that process and remove its folder",
        ) from error
    finally:
        if host.stdout is not None:
            host.stdout.close()
