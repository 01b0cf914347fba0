"""Worlds in which a month has a part of its life behind it, made once for many tests.

To export and to prove a month costs more than most of what a test does with it afterwards. So a
worker lets one world come so far, and keeps its database and its bucket. Each test gets a clone of
the one and the other put back: both with the names, and the database with the oid, of those in
which the month was archived. For what the archive knows of itself names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest
from psycopg import sql

from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket, open_bucket
from tests.archive.world import World
from tests.fixtures.postgres import Database, close, created
from tests.fixtures.s3 import keep_bucket, new_bucket, point_at, put_bucket_back


@dataclass(frozen=True, slots=True)
class Beginning:
    """A world that is kept: ``origin`` and ``oid`` are its database's, which is no more."""

    origin: Database
    oid: int
    kept: Database
    endpoint: str
    bucket: str
    world: World

    @contextmanager
    def database(self) -> Iterator[Database]:
        """The database as it was, for a block."""
        with created(self.origin, sql.Identifier(self.kept.name), oid=self.oid):
            yield self.origin

    def put_back(self) -> Bucket:
        """The bucket as it was."""
        put_bucket_back(self.endpoint, self.bucket)
        return open_bucket(self.bucket)

    def put_second_back(self) -> Bucket | None:
        """The bucket of second copies as it was, if the world has one."""
        if self.world.second is None:
            return None
        put_bucket_back(self.endpoint, self.world.second.name)
        return open_bucket(self.world.second.name)

    def again(self, database: Database, connection: Connection, bucket: Bucket) -> World:
        """The world as it was, in what was put back."""
        was = self.world
        return replace(
            was,
            database=database,
            connection=connection,
            bucket=bucket,
            second=self.put_second_back(),
            users=list(was.users),
            families=list(was.families),
            threads=list(was.threads),
            numbers=dict(was.numbers),
            filled=list(was.filled),
        )


@contextmanager
def made_once(
    name: str, template: Database, endpoint: str, worker_id: str, live: Callable[[World], object]
) -> Iterator[Beginning]:
    """A world of two families in which ``live`` has happened, kept for the block."""
    origin = Database(f"ft_{name}_{worker_id}", template.server_url)
    kept = Database(f"{origin.name}_kept", template.server_url)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        point_at(endpoint, patch)
        bucket = new_bucket(worker_id)
        with created(origin, sql.Identifier(template.name)):
            with connect(origin.url, application="tests") as connection:
                world = World(origin, connection, bucket)
                world.people()
                live(world)
                if world.second is not None:
                    keep_bucket(endpoint, world.second.name)
                [[oid]] = connection.execute(
                    "SELECT oid FROM pg_database WHERE datname = current_database()"
                ).fetchall()
            close(origin)
            stack.enter_context(created(kept, sql.Identifier(origin.name)))
            close(kept)
        keep_bucket(endpoint, bucket.name)
        patch.undo()
        yield Beginning(origin, oid, kept, endpoint, bucket.name, world)
