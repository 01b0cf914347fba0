"""The monthly dump is restored from the stored bytes before it counts, and then frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from ft_ops.backups import newest_verified_backup
from ft_ops.backups.dump.dump import DumpRules, _abort_dead_uploads, take_dump
from ft_ops.backups.dump.objects import stored_dumps
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.backups.inventory.ledger import entries, taking
from ft_ops.backups.provider import Taken
from ft_ops.errors import OpsError
from ft_ops.programs import streaming
from ft_ops.s3.objects import objects
from ft_ops.s3.upload import abort_upload, half_uploads
from ft_ops.sandbox import Sandbox
from tests.backups.world import World


@pytest.fixture
def rules(world: World, box: Sandbox) -> DumpRules:
    """Parts of 100 kB, so that there are several."""
    return DumpRules(
        bin_dir=box.bin_dir,
        drill_folder=world.provider.drill_folder,
        storage_class="DEEP_ARCHIVE",
        timeout_seconds=120,
        part_bytes=100_000,
    )


def _dump(world: World, rules: DumpRules, log: Callable[[str], None] = lambda line: None) -> Taken:
    return take_dump(
        world.connection,
        world.url,
        world.bucket,
        rules,
        provider="barman",
        cluster=world.provider.system_identifier,
        now=datetime(2026, 3, 1, 5, tzinfo=UTC),
        run_id="tests",
        log=log,
    )


def test_a_dump_is_proven_and_frozen(world: World, rules: DumpRules) -> None:
    """Beside a materialized view that nobody refreshed: a restore fills it anew, and otherwise."""
    world.connection.execute(
        "CREATE MATERIALIZED VIEW public.stale AS SELECT count(*) AS n FROM audit_log"
    )
    try:
        world.write()
        taken = _dump(world, rules)
    finally:
        world.connection.execute("DROP MATERIALIZED VIEW public.stale")
    assert taken.point.unread["public.stale"] == "a restore fills it anew"
    assert taken.point.rows > 1000
    classes = {
        stored.key.rpartition("/")[2]: stored.storage_class
        for stored in objects(world.bucket, "dumps/")
    }
    assert classes.pop("roles.sql") == "STANDARD"
    assert len(classes) > 1
    assert set(classes.values()) == {"DEEP_ARCHIVE"}
    (entry,) = entries(world.connection)
    assert (entry.kind, entry.state, entry.restored_to) == ("dump", "complete", taken.point.at)
    # A dump in Glacier is no quick help: no gate relies on it.
    assert newest_verified_backup(world.connection) is None


def test_a_proof_of_more_than_there_is_now_is_not_taken_over(
    world: World, rules: DumpRules
) -> None:
    """A part is gone, and so is the ledger, which knew of which parts the dump consists."""
    name = _dump(world, rules).point.name

    def trust() -> str:
        (item,) = take_inventory(
            world.connection, world.provider, world.bucket, now=datetime.now(UTC), log=print
        ).items
        return item.trust

    with world.removed(f"dumps/{name}/dump.0001"):
        world.connection.execute("TRUNCATE ops.restore_drills, ops.backups")
        assert trust() == "unproven"
    assert trust() == "verified"


def test_a_dump_that_came_back_wrong_is_named_and_does_not_count(
    world: World, rules: DumpRules
) -> None:
    """A column that is computed anew when it is loaded, and differently."""
    world.connection.execute(
        "CREATE FUNCTION public.who() RETURNS text IMMUTABLE LANGUAGE sql"
        " AS 'SELECT current_user::text'"
    )
    world.connection.execute(
        "CREATE TABLE public.unstable (one int, who text GENERATED ALWAYS AS (who()) STORED)"
    )
    world.connection.execute("INSERT INTO public.unstable VALUES (1)")
    try:
        with pytest.raises(OpsError, match=r"fingerprint: public\.unstable: its 1 rows are not"):
            _dump(world, rules)
    finally:
        world.connection.execute("DROP TABLE public.unstable")
        world.connection.execute("DROP FUNCTION public.who()")
    (entry,) = entries(world.connection)
    assert entry.state == "failed"
    assert [dump.condition for dump in stored_dumps(world.bucket)] == ["unfinished"]


def test_a_table_that_stays_locked_ends_the_dump_and_is_named(
    world: World, rules: DumpRules
) -> None:
    with psycopg.connect(world.url) as holder:
        holder.execute("LOCK TABLE users")
        with pytest.raises(OpsError, match=r"users locked by session \d+") as refused:
            _dump(world, replace(rules, lock_wait_ms=200))
    assert "end it" in refused.value.next_step


def test_a_program_that_fails_half_way_fails_the_reading(world: World) -> None:
    with (
        pytest.raises(OpsError, match="sh: exit status 3: no more"),
        streaming("sh", ["-c", "echo some; echo no more >&2; exit 3"], timeout_seconds=5) as output,
    ):
        assert output.read() == b"some\n"
    with (
        pytest.raises(OpsError, match="sh: it did not end within 3 s"),
        streaming("sh", ["-c", "echo some; sleep 60"], timeout_seconds=3) as output,
    ):
        assert output.read() == b"some\n"


def test_a_dead_dumps_uploads_go_and_another_clusters_stay(world: World) -> None:
    """Two clusters dump on the first of the month, perhaps into one bucket."""
    bucket = world.bucket
    with pytest.raises(OpsError), taking(world.connection, "barman", "dump-ours", "dump", "tests"):
        raise OpsError("dump", cause="killed", next_step="run again")
    for name in ("dump-ours", "dump-theirs"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"dumps/{name}/part-00000")
    _abort_dead_uploads(world.connection, bucket)
    left = list(half_uploads(bucket, "dumps/"))
    assert [upload.key for upload in left] == ["dumps/dump-theirs/part-00000"]
    for upload in left:
        abort_upload(bucket, upload)
