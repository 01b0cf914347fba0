"""Of two databases that believe to be the same one, one alone writes beside the backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from ft_ops.backups.claims import claim_bucket, take_over
from ft_ops.backups.drill.drill import run_drill
from ft_ops.backups.drill.plan import named_plan
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import take_inventory
from ft_ops.backups.retention.deletion import Deletion, delete_backups
from ft_ops.errors import Refused
from ft_ops.s3.objects import put_once, versions
from tests.backups.world import World

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@contextmanager
def _as_a_copy(world: World) -> Iterator[None]:
    """What happens in a block, the database does not know behind it: a snapshot of it lives on."""
    world.connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM ops.backup_claims")
    yield
    world.connection.execute("DELETE FROM ops.backup_claims")
    world.connection.execute("INSERT INTO ops.backup_claims SELECT * FROM kept")
    world.connection.execute("DROP TABLE kept")


def _claim(world: World) -> None:
    claim_bucket(world.connection, world.bucket, world.provider.cluster, "tests")


def _take_over(world: World) -> int:
    place = (world.connection, world.bucket, world.provider.cluster)
    return take_over(*place, by="Ada", reason="the other one is stopped", now=NOW)


def _stored(world: World) -> set[tuple[str, str]]:
    return {(found.key, found.version_id) for found in versions(world.bucket, "")}


def _silent(line: str) -> None:
    pass


def test_a_copy_of_the_database_changes_nothing_in_the_originals_bucket(world: World) -> None:
    """Nor its log: the copy's server writes segments of the same names."""
    work = (world.connection, world.provider, world.bucket)
    full = world.full().point.name
    with _as_a_copy(world):
        theirs = world.increment().point.name
    world.connection.execute("DELETE FROM ops.backups WHERE name = %s", (theirs,))
    world.write()
    world.connection.execute("SELECT pg_switch_wal()")
    spool = world.provider.spool
    assert spool is not None
    before = _stored(world)
    inventory = take_inventory(*work, now=NOW, log=_silent)
    # It has passed by that place in its log, and never wrote what lies there.
    assert {item.name: item.state for item in inventory.items} == {full: "complete", theirs: None}
    (item,) = [item for item in inventory.items if item.name == full]
    plan = named_plan(ledger.entries(world.connection), full)
    attempts: dict[str, Callable[[], object]] = {
        "full": world.full,
        "increment": world.increment,
        "log": lambda: world.provider.ship_log(world.connection, _silent),
        "retention": lambda: delete_backups(
            *work, inventory, [Deletion(item, "no rule keeps it")], _silent
        ),
        "drill": lambda: run_drill(*work, plan, now=NOW, run_id="tests", log=_silent),
    }
    for attempt in attempts.values():
        with pytest.raises(Refused, match=r"another database of this cluster writes there: claim"):
            attempt()
    assert _stored(world) == before
    assert any(spool.iterdir())
    assert {entry.state for entry in ledger.entries(world.connection)} == {"complete"}
    # Nor does it become this one's by being taken over: its rows are others.
    _take_over(world)
    inventory = take_inventory(*work, now=NOW, log=_silent)
    assert {item.name: item.state for item in inventory.items} == {full: "complete", theirs: None}


def test_the_first_of_two_has_the_bucket_until_a_person_decides(world: World) -> None:
    _claim(world)
    with _as_a_copy(world):
        _claim(world)
    with _as_a_copy(world):
        with pytest.raises(Refused, match="the last claim of this one is 1"):
            _claim(world)
        assert _take_over(world) == 3
        _claim(world)
    with pytest.raises(Refused, match="take-over"):
        _claim(world)


def test_a_claim_whose_run_died_is_known_again(world: World) -> None:
    """Behind its row, or behind its object."""
    world.connection.execute(
        "INSERT INTO ops.backup_claims (bucket, cluster, number, sha256) VALUES (%s, %s, 1, 'x')",
        (world.bucket.name, world.provider.cluster),
    )
    _claim(world)
    world.connection.execute("UPDATE ops.backup_claims SET is_certain = false")
    _claim(world)
    made = world.connection.execute(
        "SELECT number, is_certain FROM ops.backup_claims ORDER BY number, is_certain"
    )
    assert made.fetchall() == [(1, False), (1, True), (2, True)]


def test_a_bucket_that_was_moved_is_as_much_ours_as_before(world: World) -> None:
    """Its replica, or a copy of it under another name: the claims came along, a stranger's too."""
    moved = "UPDATE ops.backup_claims SET bucket = %s WHERE bucket = %s"
    for place in ("first", "second"):
        _claim(world)
        world.connection.execute(moved, (place, world.bucket.name))
    _claim(world)
    world.connection.execute(moved, ("third", world.bucket.name))
    with _as_a_copy(world):
        _claim(world)
    with pytest.raises(Refused, match=r"claim 4 .* the last claim of this one is none"):
        _claim(world)


def test_what_is_no_claim_stops_and_can_be_passed_by_a_person(world: World) -> None:
    cluster = world.provider.cluster
    put_once(world.bucket, f"claims/{cluster}/00000001.json", b"\0 is no JSON")
    put_once(world.bucket, "claims/4711/00000007.json", b"another cluster's")
    with pytest.raises(Refused, match=r"claim 1 is none of this database's, and can't be read"):
        _claim(world)
    assert _take_over(world) == 2
    _claim(world)
