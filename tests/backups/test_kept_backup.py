"""A backup that was made under an earlier schema, by earlier code, is restored by today's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from psycopg import sql
from psycopg.types.json import Jsonb

from ft_ops.backups.drill.drill import run_drill
from ft_ops.backups.drill.plan import newest_plan
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.backups.inventory.ledger import entries
from ft_ops.sandbox import Sandbox
from tests.backups.kept_backup import put_back, read_kept
from tests.backups.world import World


def test_a_kept_backup_is_restored_and_proven(world: World, box: Sandbox) -> None:
    """The full by its own row of the ledger, the increment adopted from the bucket alone.

    Columns that the ledger has got since have what a migrated row has: their defaults. A copy is
    asked under the name that its database had.
    """
    kept = read_kept()
    world.provider = replace(
        world.provider,
        url=box.database_url,
        system_identifier=kept.system_identifier,
        segment_bytes=kept.segment_bytes,
        spool=None,
    )
    full, _ = put_back(kept, world.bucket)
    world.connection.execute(
        sql.SQL(
            "INSERT INTO ops.backups ({0}) SELECT {0}"
            " FROM jsonb_populate_record(NULL::ops.backups, %s)"
        ).format(sql.SQL(", ").join(map(sql.Identifier, full))),
        (Jsonb(full),),
    )
    log: list[str] = []
    work = (world.connection, world.provider, world.bucket)
    inventory = take_inventory(*work, now=datetime.now(UTC), log=log.append)
    assert [(item.kind, item.problem) for item in inventory.items] == [
        ("full", None),
        ("increment", None),
    ]
    assert log == [
        "adopted increment-20261123t080000000z: it is whole, and the ledger did not know it"
    ]
    plan = newest_plan(entries(world.connection))
    drill = run_drill(*work, plan, now=datetime.now(UTC), run_id="tests", log=log.append)
    assert (plan.backup.kind, plan.target.kind) == ("full", "increment")
    assert drill.rows == kept.rows
    by_name = {check.check: check for check in drill.checks}
    assert by_name["fingerprint"].examined > 100
    assert by_name["checksums"].examined > 1000
    # That version asked the catalog in another way: what it did not look at is no damage.
    (unsaid,) = by_name["schema"].unsaid
    assert "objects, partition content_segments_2024_01 the first, since another version" in unsaid
