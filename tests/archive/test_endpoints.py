"""The archive on S3 endpoints that tell less than AWS does: a copy is asked for, never blamed."""

from __future__ import annotations

import pytest

from ft_ops.archive.month.ledger import latest
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import versions
from tests.archive.world import MONTH, World
from tests.faults.proxy import Plan, Proxy
from tests.fixtures.s3 import Silence


def test_a_month_is_frozen_and_purged_where_copies_tell_no_checksum(
    world: World, behind: Bucket, between: Proxy
) -> None:
    world.bucket = behind
    world.fill()
    between.plan = Plan(filter=Silence(heads=False))
    assert world.archived_and_purged().state == "purged"


def test_a_freeze_that_can_not_be_verified_stays_one_and_makes_no_second_copy(
    world: World, behind: Bucket, between: Proxy
) -> None:
    """Neither a new generation nor one more billed copy with each run; then it goes on."""
    world.bucket = behind
    world.fill()
    between.plan = Plan(filter=Silence(heads=True))
    for _ in range(2):
        with pytest.raises(OpsError, match="tells no SHA-256"):
            world.archive()
    newest = latest(world.connection, MONTH)
    assert newest is not None
    assert newest.number == 1
    frozen = [v for v in versions(behind, "archive/") if v.storage_class == "DEEP_ARCHIVE"]
    assert len(frozen) == 1
    between.plan = Plan()
    assert world.freeze().state == "frozen"
