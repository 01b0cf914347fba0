"""A server of its own for what concerns backups: a base backup takes every database of a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.frame import BenchContext
from bench.frame.context import FIRST_MONTH, SEED, log_discarded
from ft_ops.backups.barman import BarmanProvider
from ft_ops.backups.provider import Taken
from ft_ops.backups.providers import open_provider
from ft_ops.backups.take import take_full
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection, connect
from ft_ops.policy import load_policy
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import make_sample
from ft_ops.schema import load_migrations, run_migrations


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A sandbox with one filled database, and what backs it up."""

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
def own_server(context: BenchContext, months: int) -> Iterator[OwnServer]:
    """Start it for a block with that many months of the run's size.

    The environment of this process points at it meanwhile.
    """
    with (
        sandbox(announce=context.log) as box,
        _environment(box),
        connect(box.database_url, application="bench") as connection,
    ):
        # The filling's log is older than any backup: nothing needs it, and it is long.
        with log_discarded(box.admin_url):
            _fill(context, connection, months)
        with connect(box.admin_url, application="bench") as admin:
            admin.execute("CHECKPOINT")
        bucket = open_bucket(box.backup_bucket)
        provider = open_provider(load_policy(), connection, bucket)
        assert isinstance(provider, BarmanProvider)
        yield OwnServer(box, connection, provider, bucket)


def _fill(context: BenchContext, connection: Connection, months: int) -> None:
    last = FIRST_MONTH.plus(months - 1)
    run_migrations(connection, load_migrations())
    for parent in PARENTS:
        ensure_months(connection, parent, FIRST_MONTH.until(last))
    make_sample(
        connection,
        families=context.sizes.families,
        first=FIRST_MONTH,
        last=last,
        segments_per_month=context.sizes.segments_per_month,
        seed=SEED,
        progress=lambda line: None,
    )
    connection.execute("VACUUM ANALYZE")


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
