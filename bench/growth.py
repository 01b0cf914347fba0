"""The cost of creating partitions by the number of months, and of the inventory by the number of
backups.

The months are created in an empty schema, for both tables. The inventory lists what barman-cloud
knows and what the bucket holds: one real backup, and copies of its record under other ids, each
with a small body and four increments, as on a normal day. The second inventory is measured, because
the first one adopts what its ledger does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bench._own_server import own_server
from bench.frame import BenchContext, Result, seconds
from bench.partitions import create_months
from ft_ops.backups.barman.provider import BarmanProvider
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.backups.points.bucket_records import write_point
from ft_ops.backups.points.points import RestorePoint
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import Bucket, open_bucket

GOAL: Final = 1.1
MONTHS: Final = (12, 40, 120)
QUICK_MONTHS: Final = (3, 10)
BACKUPS: Final = (10, 30, 100)
QUICK_BACKUPS: Final = (2, 6)
INCREMENTS_A_BACKUP: Final = 4
BUCKET: Final = "growth"
BODY: Final = b"not restored here"


def run(context: BenchContext) -> Iterator[Result]:
    months = QUICK_MONTHS if context.is_quick else MONTHS
    backups = QUICK_BACKUPS if context.is_quick else BACKUPS
    yield Result.growing(
        {number: create_months(context, number) for number in months},
        name="growth_partitions",
        work="create partitions of both tables",
        unit="months",
        goal=GOAL,
    )
    yield Result.growing(
        _inventories(context, backups),
        name="growth_inventory",
        work="take the inventory of backups",
        unit="fulls with four increments each",
        goal=GOAL,
    )


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A real backup: what barman keeps of it, its name, and its restore point."""

    base: str
    info: bytes
    point: RestorePoint

    def copy(self, bucket: Bucket, number: int) -> None:
        """Put a backup like it into the bucket, of another day."""
        day = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)
        folder = f"{self.base}{day:%Y%m%dT%H%M%S}/"
        name = f"full-{day:%Y%m%dt%H%M%Sz}"
        info = self.info.replace(self.point.name.encode(), name.encode())
        for file, body in (("data.tar.lz4", BODY), ("backup.info", info)):
            bucket.client.put_object(Bucket=bucket.name, Key=folder + file, Body=body)
        write_point(bucket, replace(self.point, name=name))
        for hour in range(INCREMENTS_A_BACKUP):
            increment = f"increment-{day + timedelta(hours=hour):%Y%m%dt%H%M%Sz}"
            write_point(bucket, replace(self.point, name=increment))


def _inventories(context: BenchContext, backups: Sequence[int]) -> dict[int, float]:
    """Seconds of an inventory by the number of fulls."""
    took: dict[int, float] = {}
    with own_server(context) as server:
        server.bucket.client.create_bucket(Bucket=BUCKET)
        server.bucket.client.put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
        )
        bucket = open_bucket(BUCKET)
        provider = replace(server.provider, bucket=bucket)
        pattern = _take_pattern(provider, bucket, context)
        there = 1
        for fulls in backups:
            for number in range(there, fulls):
                pattern.copy(bucket, number)
            there = fulls
            took[fulls] = _take_inventory(provider, bucket, fulls)
    return took


def _take_pattern(provider: BarmanProvider, bucket: Bucket, context: BenchContext) -> _Pattern:
    taken = provider.take_full(f"full-{datetime.now(UTC):%Y%m%dt%H%M%Sz}", context.log)
    write_point(bucket, taken.point)
    base = f"{provider.folder}/{provider.server}/base/"
    key = f"{base}{taken.stored.provider_id}/backup.info"
    info = bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    return _Pattern(base, info, taken.point)


def _take_inventory(provider: BarmanProvider, bucket: Bucket, fulls: int) -> float:
    """By a ledger that knows none of them: on their own server, or they would be another's."""
    with connect(provider.url, application="bench") as connection:
        connection.execute("TRUNCATE ops.restore_drills, ops.backups")

        def inventory() -> int:
            found = take_inventory(
                connection, provider, bucket, now=datetime.now(UTC), log=lambda line: None
            )
            return len(found.whole("full"))

        counted = inventory()
        assert counted == fulls, f"{counted} of {fulls} fulls count"
        return seconds(inventory)
