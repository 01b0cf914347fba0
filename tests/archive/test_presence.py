"""Of a purged month the bucket has the only copy: what is gone from it is named the next day."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import latest
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.store.presence import Look, look, missing
from ft_ops.clock import utc_now
from ft_ops.definitions import defs
from ft_ops.s3 import silence
from ft_ops.s3.bucket import Bucket, client_of
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import (
    StoredObject,
    copy_to_class,
    delete_version,
    read_current,
    read_version,
    versions,
)
from tests.archive.world import MONTH, World
from tests.faults.proxy import Plan, Proxy

NOW = datetime(2026, 11, 3, tzinfo=UTC)


@pytest.mark.usefixtures("begins_purged")
def test_nothing_is_missing_from_a_whole_archive(world: World) -> None:
    world.month(MONTH)
    world.segment(MONTH, thread=1)
    world.archive()
    assert missing(world.connection, world.bucket) == {}


def test_lists_that_were_uploaded_in_parts_are_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 has no SHA-256 of their content then: a large month is purged all the same."""
    client: Any = world.bucket.client
    head = client.head_object

    def head_object(**names: Any) -> Any:
        found = head(**names)
        if found.get("StorageClass", "STANDARD") == "STANDARD":
            found["ChecksumSHA256"] = f"{base64.b64encode(bytes(32)).decode()}-2"
        return found

    world.fill()
    world.archive()
    world.verified_backup()
    monkeypatch.setattr(client, "head_object", head_object)
    assert missing(world.connection, world.bucket) == {}
    assert world.purge().generation.state == "purged"


@pytest.mark.parametrize("table", ["content_tags", "subjects", "proven_segments", "manifest"])
@pytest.mark.usefixtures("begins_purged")
def test_what_was_removed_is_named(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    purged = world.newest()
    stored = next(
        (item.stored for item in purged.objects if item.table == table), purged.require_manifest()
    )
    delete_version(world.bucket, stored.key, stored.version_id)
    [(name, problems)] = missing(world.connection, world.bucket).items()
    assert name == purged.name
    assert len(problems) == 1
    assert f"table={table}/" in problems[0]
    monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", world.bucket.name)
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("check_archive_bucket").execute_in_process(instance=instance)
    [found] = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "archived_objects_are_there"
    ]
    assert not found.passed
    assert purged.name in str(found.description)


def hide(bucket: Bucket, stored: StoredObject) -> None:
    bucket.client.delete_object(Bucket=bucket.name, Key=stored.key)


def put_above(bucket: Bucket, stored: StoredObject) -> None:
    """Somebody edits a manifest, or swaps an object: what he writes lies above ours."""
    bucket.client.put_object(Bucket=bucket.name, Key=stored.key, Body=b"{}")


def truncate(bucket: Bucket, stored: StoredObject) -> None:
    delete_version(bucket, stored.key, stored.version_id)
    put_above(bucket, stored)


def move_by_a_rule(bucket: Bucket, stored: StoredObject) -> None:
    request_restore(bucket, stored, days=1, tier="Bulk")
    copy_to_class(bucket, stored, "GLACIER")
    delete_version(bucket, stored.key, stored.version_id)


DAMAGES: dict[str, tuple[Callable[[Bucket, StoredObject], None], str]] = {
    "content_segments": (move_by_a_rule, "is not there"),
    "content_links": (truncate, "is not there"),
    "content_tags": (put_above, "2 bytes was put above it"),
    "photo_narrations": (hide, "a delete marker hides it"),
    "manifest": (put_above, "2 bytes was put above it"),
    "certificate": (put_above, "2 bytes was put above it"),
}


@pytest.mark.usefixtures("begins_purged")
def test_each_damage_is_named_by_a_listing_alone(world: World) -> None:
    """Whatever the budget of requests is: with one request a day most objects are listed only."""
    purged = world.newest()
    for table, (harm, _) in DAMAGES.items():
        harm(world.bucket, stored_as(purged, table))
    found = look(world.connection, world.bucket, requests=1, now=utc_now())
    problems = found.problems[purged.name]
    for table, (_, words) in DAMAGES.items():
        told = [line for line in problems if stored_as(purged, table).key in line]
        assert len(told) == 1, (table, problems)
        assert words in told[0]


@pytest.mark.usefixtures("begins_purged")
def test_a_key_that_was_disabled_is_named_by_the_object_that_it_hides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    purged = world.newest()
    client: Any = world.bucket.client
    head = client.head_object

    def head_object(**names: Any) -> Any:
        if "table=content_tags" in names["Key"]:
            raise ClientError(
                {"Error": {"Code": "403", "Message": "KMS key is disabled"}}, "HeadObject"
            )
        return head(**names)

    monkeypatch.setattr(client, "head_object", head_object)
    [problem] = missing(world.connection, world.bucket)[purged.name]
    assert "table=content_tags/" in problem
    assert "KMS key is disabled" in problem


def test_beyond_the_budget_each_object_has_its_turn_within_the_days_that_are_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no listing shows of one object alone waits for its turn, and no longer."""
    other = MONTH.plus(1)
    for month in (MONTH, other):
        world.fill(month, segments=4)
        world.archived_and_purged(month)
    listed = look(world.connection, world.bucket).listed
    # Four tables, four lists, manifest and certificate, twice.
    assert listed == 20
    assert _look(world, 20).asked_for == 20
    for requests, days in ((20, 1), (19, 2), (14, 2), (9, 6), (1, 16)):
        assert _look(world, requests).days == days
        asked = [_look(world, requests, day).asked_for for day in range(days)]
        assert max(asked) <= max(requests, 7)
    monkeypatch.setattr(
        "ft_ops.archive.store.presence.head",
        lambda bucket, item: replace(item, sha256="00") if "content_tags" in item.key else item,
    )
    for requests, days in ((14, 2), (9, 6)):
        named = {name for day in range(days) for name in _look(world, requests, day).problems}
        assert len(named) == 2


@pytest.mark.parametrize(("answered", "more"), [(0, 1), (2, 2)])
def test_every_generation_that_was_not_looked_at_is_named_at_once(
    world: World, between: Proxy, monkeypatch: pytest.MonkeyPatch, answered: int, more: int
) -> None:
    """The endpoint falls silent before the listing, or when most objects are still to be asked."""
    monkeypatch.setattr(silence, "PROBE_SECONDS", 0.1)
    months = [MONTH.plus(number) for number in range(2)]
    for month in months:
        world.fill(month, segments=4)
        world.archived_and_purged(month)
    once = Config(retries={"total_max_attempts": 1})
    bucket = Bucket(world.bucket.name, client_of("s3", endpoint_url=between.url, config=once))
    between.plan = Plan("reset", answered + 1, lasting=True)
    found = look(world.connection, bucket)
    assert len(found.problems) == len(months)
    assert all("not looked at" in " ".join(lines) for lines in found.problems.values())
    assert not any("not there" in line for lines in found.problems.values() for line in lines)
    # The first that was not answered, and whether it answers at all where there is more to ask.
    assert len(between.plan.seen) == answered + more


def _look(world: World, requests: int, day: int = 0) -> Look:
    return look(world.connection, world.bucket, requests=requests, now=NOW + timedelta(days=day))


def test_what_no_listing_shows_is_named_within_a_day_whatever_the_budget(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More objects than may be asked for: an edited certificate, a disabled key, a stranger's."""
    other = MONTH.plus(1)
    for month in (MONTH, other):
        world.fill(month, segments=4)
        world.archived_and_purged(month)
    first, second = (latest(world.connection, month) for month in (MONTH, other))
    assert first is not None
    assert second is not None
    assert [_look(world, 1, day).problems for day in range(3)] == [{}] * 3
    _edit_in_its_place(world, first.certificate_key)
    stray = second.parts()[0].stored.key.replace("part-00000", "part-00001")
    world.bucket.client.put_object(Bucket=world.bucket.name, Key=stray, Body=b"PAR1")
    for day in range(4):
        problems = _look(world, 1, day).problems
        assert problems.keys() == {first.name, second.name}
        assert "is not what the ledger has" in problems[first.name][0]
        assert problems[second.name] == [
            f"{stray}: it is none of ours, and whoever reads the folder reads it, too"
        ]
    client: Any = world.bucket.client
    head = client.head_object

    def disabled(**names: Any) -> Any:
        found = head(**names)
        if found.get("StorageClass", "STANDARD") != "STANDARD" and "month=04" in names["Key"]:
            answer: Any = {"Error": {"Code": "403", "Message": "key is disabled"}}
            raise ClientError(answer, "HeadObject")
        return found

    monkeypatch.setattr(client, "head_object", disabled)
    for day in range(4):
        assert "key is disabled" in str(_look(world, 1, day).problems[second.name])


def _edit_in_its_place(world: World, key: str) -> None:
    """By somebody who may delete versions: no version lies above another, and the size is ours."""
    [version] = versions(world.bucket, key)
    edited = read_version(world.bucket, version).replace(b'"run_id": "test"', b'"run_id": "tesT"')
    delete_version(world.bucket, key, version.version_id)
    world.bucket.client.put_object(Bucket=world.bucket.name, Key=key, Body=edited)
    [now] = versions(world.bucket, key)
    assert now.bytes == version.bytes


@pytest.mark.parametrize(
    ("body", "words"),
    [(None, "is not there"), (b"{}", "is no certificate"), ("edited", "not what the ledger has")],
)
@pytest.mark.usefixtures("begins_purged")
def test_a_certificate_that_was_put_in_place_of_ours_is_named_and_mended(
    world: World, body: bytes | str | None, words: str
) -> None:
    """Nothing lies above it: whoever may delete versions leaves no trace in a listing."""
    purged = world.newest()
    key = purged.certificate_key
    [version] = versions(world.bucket, key)
    ours = read_version(world.bucket, version)
    delete_version(world.bucket, key, version.version_id)
    if body is not None:
        put = body if isinstance(body, bytes) else ours.replace(b'"sha256": "', b'"sha256": "0')
        world.bucket.client.put_object(Bucket=world.bucket.name, Key=key, Body=put)
    [problem] = missing(world.connection, world.bucket)[purged.name]
    assert key in problem
    assert words in problem
    for left in list(versions(world.bucket, key)):
        delete_version(world.bucket, key, left.version_id)
    assert [line for lines in mend(world.run, None, apply=True).results for line in lines]
    assert missing(world.connection, world.bucket) == {}
    assert json.loads(read_current(world.bucket, key)) == json.loads(ours)


def stored_as(generation: Generation, table: str) -> StoredObject:
    if table == "certificate":
        return replace(generation.require_manifest(), key=generation.certificate_key)
    return next(
        (item.stored for item in generation.objects if item.table == table),
        generation.require_manifest(),
    )
