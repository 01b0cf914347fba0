"""pgBackRest, set up for one server: its stanza in the sandbox's S3, and what it is asked to do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from ft_ops.pg import server as pg
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import objects
from tests.fixtures.tls import tls_before

BUCKET: Final = "pgbackrest"
_PATH: Final = "it"
_POLL_SECONDS: Final = 0.05
_DEADLINE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Stanza:
    """A stanza of one repository in S3, which pgBackRest reaches by TLS alone."""

    program: Path
    root: Path
    server: pg.Server
    bucket: Bucket

    @property
    def archive_command(self) -> str:
        return f"{self.program} --config={self.root}/conf --stanza=main archive-push %p"

    def ask(self, command: str, *arguments: str) -> None:
        given = [f"--config={self.root}/conf", "--stanza=main", *arguments, command]
        done = subprocess.run([self.program, *given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]} {done.stderr[-2000:]}"

    def take_full(self, point: str) -> None:
        """A full backup, and a named point behind it in an archived segment."""
        self.ask("backup", "--type=full", "--start-fast", "--no-expire-auto")
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute("SELECT pg_create_restore_point(%s)", [point])
            row = admin.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            until = time.monotonic() + _DEADLINE_SECONDS
            archived = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
            while admin.execute(archived, [row[0]]).fetchone() != (True,):
                assert time.monotonic() < until, pg.server_log(self.server)
                time.sleep(_POLL_SECONDS)

    def restore(self, folder: Path, point: str) -> None:
        """The newest backup, recovered to a point on a server of its own."""
        copy = pg.Server(self.server.bin_dir, folder / "data", folder / "run")
        copy.data_dir.mkdir(mode=0o700)
        self.ask(
            "restore",
            f"--pg1-path={copy.data_dir}",
            "--type=name",
            f"--target={point}",
            "--target-action=promote",
        )
        fetch = f"{self.program} --config={self.root}/conf --stanza=main"
        pg.configure(
            copy,
            {
                "archive_mode": "off",
                "fsync": "off",
                "restore_command": f"{fetch} --pg1-path={copy.data_dir} archive-get %f %p",
            },
        )
        pg.hand_over(folder)
        with pg.running(copy, stop_mode="immediate"):
            until = time.monotonic() + _DEADLINE_SECONDS
            while _is_in_recovery(copy):
                assert time.monotonic() < until, pg.server_log(copy)
                time.sleep(_POLL_SECONDS)

    def stored_bytes(self) -> int:
        """Of the newest backup."""
        found = list(objects(self.bucket, f"{_PATH}/backup/main/"))
        newest = max(o.key.split("/")[3] for o in found if o.key.split("/")[3][:1].isdigit())
        return sum(o.bytes for o in found if o.key.split("/")[3] == newest)


@contextmanager
def stanza(
    program: Path, root: Path, server: pg.Server, bucket: Bucket, *, processes: int
) -> Iterator[Stanza]:
    """A stanza for a server that runs, with an empty repository."""
    for name in ("lock", "log"):
        (root / name).mkdir()
        (root / name).chmod(0o777)
    with tls_before(bucket.client.meta.endpoint_url) as port:
        (root / "conf").write_text(
            f"[global]\nlock-path={root}/lock\nlog-path={root}/log\narchive-timeout=60\n"
            f"log-level-file=off\ncompress-type=lz4\nprocess-max={processes}\n"
            f"repo1-type=s3\nrepo1-path=/{_PATH}\nrepo1-s3-bucket={bucket.name}\n"
            f"repo1-s3-uri-style=path\nrepo1-s3-endpoint=127.0.0.1\nrepo1-storage-port={port}\n"
            "repo1-storage-verify-tls=n\nrepo1-s3-region=us-east-1\nrepo1-s3-key=sandbox\n"
            "repo1-s3-key-secret=sandbox\nrepo1-bundle=y\nrepo1-retention-full=9\n"
            f"[main]\npg1-path={server.data_dir}\npg1-socket-path={server.socket_dir}\n"
            "pg1-user=postgres\n",
            encoding="utf-8",
        )
        found = Stanza(program, root, server, bucket)
        found.ask("stanza-create")
        yield found


def _is_in_recovery(server: pg.Server) -> bool:
    try:
        with psycopg.connect(server.url()) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() != (False,)
    except psycopg.OperationalError:
        return True
