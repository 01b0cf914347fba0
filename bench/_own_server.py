"""The server that is backed up, with what backs it up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.frame import BenchContext
from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.provider import Taken
from ft_ops.backups.providers import open_provider
from ft_ops.backups.take.take import take_full
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox
from ft_ops.settings import load_settings


@dataclass(frozen=True, slots=True)
class OwnServer:
    """The second sandbox's server, its one filled database, and the way to a backup of it."""

    box: Sandbox
    connection: Connection
    provider: BarmanProvider
    bucket: Bucket

    def take_full(self, log: Callable[[str], None]) -> Taken:
        """Take a full backup, which ships the log that it needs."""
        return take_full(
            self.connection,
            self.provider,
            self.bucket,
            now=datetime.now(UTC),
            run_id="bench",
            log=log,
        )


@contextmanager
def own_server(context: BenchContext) -> Iterator[OwnServer]:
    """For a block in which the environment of this process points at the second sandbox."""
    box = context.backed_up
    with _environment(box), connect(box.database_url, application="bench") as connection:
        bucket = open_bucket(box.backup_bucket)
        provider = open_provider(load_settings(), connection, bucket)
        assert isinstance(provider, BarmanProvider)
        yield OwnServer(box, connection, provider, bucket)


@contextmanager
def _environment(box: Sandbox) -> Iterator[None]:
    """Point boto3, barman and the policy at ``box`` for a block."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(box.child_environment(before))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
