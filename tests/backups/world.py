"""A small FamilyTales that is backed up for real: server, spool, bucket, barman-cloud."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.inventory import verdicts
from ft_ops.backups.provider import Taken
from ft_ops.backups.providers import open_provider
from ft_ops.backups.take.take import take_full, take_increment
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, objects, versions
from ft_ops.sandbox import Sandbox
from ft_ops.settings import load_settings


@dataclass(slots=True)
class World:
    """The open parts of it. Every backup it takes is a minute after the last one, by its name."""

    connection: Connection
    url: str
    bucket: Bucket
    provider: BarmanProvider
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def full(self) -> Taken:
        return take_full(
            self.connection,
            self.provider,
            self.bucket,
            now=self._tick(),
            run_id="tests",
            log=lambda line: None,
        )

    def increment(self) -> Taken:
        return take_increment(
            self.connection,
            self.provider,
            self.bucket,
            now=self._tick(),
            run_id="tests",
            log=lambda line: None,
        )

    def write(self, rows: int = 100) -> None:
        """Change the database in a way that every point tells apart."""
        self.connection.execute(
            "INSERT INTO audit_log (user_id, action, user_agent)"
            " SELECT gen_random_uuid(), 'tested', n::text FROM generate_series(1, %s) AS n",
            (rows,),
        )

    def key(self, ending: str) -> str:
        """The one object whose key ends so, compression apart."""
        (found,) = (o.key for o in objects(self.bucket, "") if ending in o.key.split("/")[-1])
        return found

    @contextmanager
    def replaced(self, key: str, body: bytes) -> Iterator[None]:
        """Another content under a key, for a block."""
        written = self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=body)
        try:
            yield
        finally:
            delete_version(self.bucket, key, written["VersionId"])

    @contextmanager
    def removed(self, key: str) -> Iterator[None]:
        """A key that is gone, for a block; its versions are there to bring it back."""
        marker = self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)
        try:
            yield
        finally:
            delete_version(self.bucket, key, marker["VersionId"])

    def body(self, key: str) -> bytes:
        return self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()

    def forget_everything(self) -> None:
        """Back to a database without a backup and an empty bucket."""
        self.connection.execute("TRUNCATE ops.restore_drills, ops.backups, ops.backup_claims")
        for version in list(versions(self.bucket, "")):
            delete_version(self.bucket, version.key, version.version_id)

    def _tick(self) -> datetime:
        self.clock += timedelta(minutes=1)
        return self.clock


@dataclass(frozen=True, slots=True)
class Standing:
    """A world with one full and one increment, which stay as they are."""

    world: World
    full: Taken
    increment: Taken

    def believe(self) -> None:
        """Record a drill that passed, without holding it: whatever another test's drill found."""
        connection, name = self.world.connection, self.full.point.name
        verdicts.pass_drill(
            connection,
            verdicts.begin_drill(connection, name, name, "tests"),
            restored_to=self.full.point.at,
            recovery_seconds=1,
            loss_seconds=1,
            certificate={},
        )


def open_world(connection: Connection, url: str, bucket: Bucket) -> World:
    """A world in the sandbox of the environment."""
    provider = open_provider(load_settings(), connection, bucket)
    assert isinstance(provider, BarmanProvider)
    return World(connection, url, bucket, replace(provider, url=url, floor=1))


def flipped(content: bytes, at: int) -> bytes:
    """The content with one bit of one byte turned over."""
    return content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]


def flip_in_file(path: Path, at: int) -> None:
    path.write_bytes(flipped(path.read_bytes(), at))


@contextmanager
def environment_of(box: Sandbox) -> Iterator[None]:
    """The sandbox's variables, for a block.

    Never around the yield of a fixture that outlives a test: the next room would read them.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("AWS_", "PG", "FT_")):
                patch.delenv(name)
        for name, value in box.environment().items():
            patch.setenv(name, value)
        patch.setenv("FT_PG_BIN_DIR", str(box.bin_dir))
        yield
