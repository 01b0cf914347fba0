"""The second copy: made with the first, compared, read where the first is gone, and erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ft_ops.archive.copies.compare import recorded
from ft_ops.archive.copies.second import put_second, remove_ours
from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.replica.compare import Comparison, compare, remove_returned
from ft_ops.archive.replica.fill import fill, lacking, lacking_documents
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.run import ArchiveTarget
from ft_ops.archive.store.presence import missing
from ft_ops.archive.thaw.thaw import ThawRequest, begin, load
from ft_ops.clock import utc_now
from ft_ops.errors import OpsError, Refused
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import (
    StoredObject,
    copy_version,
    delete_version,
    hide,
    put_once,
    read_object,
    read_version,
    versions,
)
from ft_ops.s3.twins import twin
from tests.archive.test_adopt import anew
from tests.archive.world import MONTH, PRICES, RULES, World
from tests.fixtures.postgres import Database

LAG = timedelta(hours=24)


@pytest.fixture
def copied(request: pytest.FixtureRequest, world: World) -> World:
    """A world with a second bucket, whose clock is past the lag that is allowed."""
    there = world.second or request.getfixturevalue("second_bucket")
    return replace(world, second=there, clock=lambda: utc_now() + LAG)


def compared(world: World) -> Comparison:
    return compare(world.run, lag=LAG)


def second(world: World) -> Bucket:
    assert world.second is not None
    return world.second


def first_part(generation: Generation) -> StoredObject:
    return generation.parts()[0].stored


def content_in(bucket: Bucket) -> set[str]:
    """Keys of content and of what names people, of which a version is there."""
    found = {version.key for version in versions(bucket, "archive/table=")}
    return {key for key in found if "/table=manifest/" not in key}


def fill_all(world: World) -> int:
    worked = fill(world.run, retrieve=False)
    worked.refuse_failures("test")
    return sum(worked.results)


def test_a_month_is_copied_while_it_is_frozen(copied: World) -> None:
    copied.fill(segments=12)
    frozen = copied.archive()
    for item in frozen.objects:
        there = twin(second(copied), item.stored)
        assert there is not None
        assert there.storage_class == item.stored.storage_class
    fill_all(copied)
    assert compared(copied).wrong == {}
    assert fill_all(copied) == 0


def test_without_its_second_copy_a_month_is_neither_frozen_nor_purged(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.fill(segments=12)

    broken = ArchiveTarget(copied.bucket, "archive", 64 << 20, lambda: open_bucket("nowhere"))
    with monkeypatch.context() as patch:
        patch.setattr(World, "target", broken)
        with pytest.raises(OpsError, match=r"^bucket nowhere: .*create the bucket"):
            copied.archive()
        # It is no fault of what was exported, which would be given up for it.
        assert copied.standing().state == "freezing"
        patch.setattr(World, "target", replace(broken, open_second=None))
        frozen = copied.freeze()
    copied.verified_backup()
    closed = [gate for gate in copied.plan().gates if not gate.passed]
    assert {gate.name for gate in closed} == {"second copy"}
    # It is in Glacier alone now: somebody has to pay for a retrieval.
    [failed] = fill(copied.run, retrieve=False).failed
    assert "lie in Glacier" in failed.cause
    [failed] = fill(copied.run, retrieve=True).failed
    assert "was asked" in failed.next_step
    fill_all(copied)
    assert copied.purge().generation.number == frozen.number


@pytest.mark.usefixtures("begins_archived")
def test_an_object_that_is_gone_keeps_no_other_from_being_copied(
    world: World, second_bucket: Bucket
) -> None:
    """Nobody says of it that it lies in Glacier, either."""
    frozen = world.standing()
    gone, *others = [part.stored for part in frozen.parts()]
    delete_version(world.bucket, gone.key, gone.version_id)
    for stored in others:
        request_restore(world.bucket, stored, days=1, tier="Bulk")
    late = replace(world, second=second_bucket)
    [failed] = fill(late.run, retrieve=False).failed
    assert gone.key in failed.cause
    assert "lie in Glacier" not in failed.cause
    assert others
    assert all(twin(second_bucket, stored) is not None for stored in others)


@pytest.mark.chaos
def test_a_freeze_that_was_killed_before_its_second_copy_makes_it(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.fill(segments=12)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.store.freeze.put_second", die)
        with pytest.raises(KeyboardInterrupt):
            copied.archive()
    assert content_in(second(copied)) == set()
    copied.freeze()
    fill_all(copied)
    assert compared(copied).wrong == {}


def truncated(bucket: Bucket, stored: StoredObject) -> None:
    delete_version(bucket, stored.key, stored.version_id)
    bucket.client.put_object(Bucket=bucket.name, Key=stored.key, Body=b"PAR1")


def swapped(bucket: Bucket, stored: StoredObject) -> None:
    delete_version(bucket, stored.key, stored.version_id)
    bucket.client.put_object(
        Bucket=bucket.name,
        Key=stored.key,
        Body=bytes(stored.bytes),
        StorageClass="DEEP_ARCHIVE",
        ChecksumAlgorithm="SHA256",
    )


def moved_by_a_rule(bucket: Bucket, stored: StoredObject) -> None:
    request_restore(bucket, stored, days=1, tier="Bulk")
    copy_version(bucket, stored, bucket, "GLACIER")
    delete_version(bucket, stored.key, stored.version_id)


DAMAGES: dict[str, tuple[Callable[[Bucket, StoredObject], None], str]] = {
    "content_segments": (moved_by_a_rule, "its class is GLACIER, not DEEP_ARCHIVE"),
    "content_links": (lambda b, s: delete_version(b, s.key, s.version_id), "it is not there"),
    "content_tags": (swapped, "its SHA-256 is"),
    "photo_narrations": (truncated, "it has 4 bytes"),
    "subjects": (lambda b, s: hide(b, s.key), "a delete marker hides it"),
}


@pytest.mark.usefixtures("begins_copied")
def test_each_damage_of_the_second_copy_is_named_once_the_lag_is_over(copied: World) -> None:
    purged = copied.newest()
    fill_all(copied)
    for table, (harm, _) in DAMAGES.items():
        [stored] = [item.stored for item in purged.objects if item.table == table]
        there = twin(second(copied), stored)
        assert there is not None
        harm(second(copied), there)
    found = compared(copied)
    problems = found.wrong[purged.name]
    assert len(problems) == len(DAMAGES)
    for table, (_, words) in DAMAGES.items():
        assert any(f"table={table}/" in p and words in p for p in problems)
    assert found.waiting == {}
    # The limit: as long as it may still be on its way, it is told and no failure.
    young = compared(replace(copied, clock=utc_now))
    assert young.wrong == {}
    assert young.waiting[purged.name] == problems


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_what_may_not_be_looked_at_is_named_and_never_called_whole(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    purged = copied.newest()
    fill_all(copied)
    client: Any = second(copied).client
    head = client.head_object

    def head_object(**names: Any) -> Any:
        if "table=content_tags" in names["Key"]:
            raise ClientError(
                {"Error": {"Code": "403", "Message": "KMS key is disabled"}}, "HeadObject"
            )
        return head(**names)

    monkeypatch.setattr(client, "head_object", head_object)
    [problem] = compared(copied).wrong[purged.name]
    assert "can't be looked at" in problem
    assert "KMS key is disabled" in problem


def test_what_can_not_be_compared_keeps_nothing_else_from_it(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that fails in one place; each is named, and the others are compared."""
    for month in (MONTH, MONTH.plus(1)):
        copied.fill(month, segments=4)
        copied.archived_and_purged(month)
    fill_all(copied)
    client: Any = second(copied).client
    head = client.head_object

    def head_object(**names: Any) -> Any:
        if "month=03" in names["Key"]:
            raise OSError("connection reset by peer")
        return head(**names)

    monkeypatch.setattr(client, "head_object", head_object)
    found = compared(copied)
    assert found.objects > 16
    [(name, problems)] = found.wrong.items()
    assert name == "2017-03 generation 1"
    assert "can't be compared: connection reset" in problems[0]


@pytest.mark.chaos
def test_what_the_second_bucket_has_lost_is_copied_again(copied: World) -> None:
    copied = replace(copied, rules=replace(RULES, storage_class="GLACIER_IR"))
    copied.fill(segments=12)
    purged = copied.archived_and_purged()
    ship_records(copied.run)
    fill_all(copied)
    for version in list(versions(second(copied), "")):
        delete_version(second(copied), version.key, version.version_id)
    assert [item.stored for item in lacking(copied.run)] == recorded(purged)
    assert lacking_documents(copied.run)
    assert fill_all(copied) > 8
    assert compared(copied).wrong == {}


@pytest.mark.chaos
def test_other_content_under_the_key_is_never_written_over(copied: World) -> None:
    """Two archives with one second bucket: each refuses by name."""
    copied.fill(segments=12)
    frozen = replace(copied, second=None).archive()
    stored = first_part(frozen)
    foreign = second(copied).client.put_object(
        Bucket=second(copied).name, Key=stored.key, Body=b"another archive's"
    )
    with pytest.raises(Refused, match="other content"):
        put_second(copied.target, stored, stored.storage_class)
    [only] = versions(second(copied), stored.key)
    assert only.version_id == foreign["VersionId"]


@pytest.mark.usefixtures("begins_copied")
def test_a_thaw_reads_the_second_copy_where_the_first_is_gone_and_says_so(copied: World) -> None:
    purged = copied.newest()
    for item in purged.parts()[:2]:
        delete_version(copied.bucket, item.stored.key, item.stored.version_id)
    run = copied.run
    load(run, begin(run, ThawRequest(MONTH, None, "Bulk", 14), PRICES, purpose="thaw"))
    assert copied.rows() == copied.kept
    for url, item in zip(run.read_elsewhere, purged.parts(), strict=False):
        assert second(copied).name in url
        assert item.stored.key in url
    assert len(run.read_elsewhere) == 2


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_a_first_that_reads_as_other_bytes_is_replaced_by_the_second(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD can't tell that. The second is asked for then, and read when it can be."""
    purged = copied.newest()
    stored = first_part(purged)
    client: Any = copied.bucket.client
    get = client.get_object

    def get_object(**names: Any) -> Any:
        if (names["Bucket"], names["Key"]) == (copied.bucket.name, stored.key):
            names = {**names, "Key": purged.require_manifest().key, "VersionId": None}
            names["VersionId"] = purged.require_manifest().version_id
        return get(**names)

    monkeypatch.setattr(client, "get_object", get_object)
    thaw = copied.ask()
    with pytest.raises(OpsError, match="Glacier was asked for it"):
        copied.thaw()
    assert thaw.state == "restoring"
    copied.thaw()
    assert copied.rows() == copied.kept


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_with_both_gone_the_thaw_is_refused_by_name(copied: World) -> None:
    purged = copied.newest()
    stored = first_part(purged)
    for bucket in (copied.bucket, second(copied)):
        for version in list(versions(bucket, stored.key)):
            delete_version(bucket, version.key, version.version_id)
    with pytest.raises(OpsError, match=r"table=content_segments.*holds no copy"):
        copied.thaw()


@pytest.mark.usefixtures("begins_copied")
def test_what_was_erased_leaves_both_buckets(copied: World) -> None:
    fill_all(copied)
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))
    old = {key for key in content_in(second(copied)) if "/gen=1/" in key}
    assert len(old) == 8
    remove_superseded(copied.run).refuse_failures("test")
    for bucket in (copied.bucket, second(copied)):
        assert {key for key in content_in(bucket) if "/gen=1/" in key} == set()
    fill_all(copied)
    assert compared(copied).wrong == {}
    assert generations(copied.connection, MONTH)[0].objects == ()


@pytest.mark.usefixtures("begins_copied")
def test_an_unreachable_second_bucket_keeps_no_erased_content_in_the_first(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))

    def unreachable() -> Bucket:
        raise OpsError("second bucket", cause="no answer", next_step="wait")

    with monkeypatch.context() as patch:
        patch.setattr(World, "target", replace(copied.target, open_second=unreachable))
        [failed] = remove_superseded(copied.run).failed
    assert "no answer" in failed.cause
    old = {key for key in content_in(copied.bucket) if "/gen=1/" in key}
    assert {key for key in old if "/table=content_segments/" in key} == set()
    remove_superseded(copied.run).refuse_failures("test")
    for bucket in (copied.bucket, second(copied)):
        assert {key for key in content_in(bucket) if "/gen=1/" in key} == set()


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_records_of_another_archive_in_the_second_bucket_are_named(copied: World) -> None:
    ship_records(copied.run)
    fill_all(copied)
    assert compared(copied).wrong == {}
    put_once(second(copied), "archive/records/ledger/2011-01/gen=1/x-purged-0.json", b"{}")
    [problems] = compared(copied).wrong.values()
    assert "1 records are not in the first bucket" in problems[0]


@pytest.mark.usefixtures("begins_copied")
@pytest.mark.parametrize("folder", ["records/ledger/", "records/events/", "table=manifest/"])
def test_a_tombstone_a_row_or_a_certificate_that_was_edited_in_the_second_bucket_is_named(
    copied: World, folder: str
) -> None:
    """With as many bytes as it had, and nothing above or below it."""
    copied.connection.execute("DELETE FROM threads WHERE id = %s", (copied.threads[3],))
    ship_records(copied.run)
    fill_all(copied)
    assert compared(copied).wrong == {}
    victim = next(
        found
        for found in versions(second(copied), f"archive/{folder}")
        if not found.key.endswith("manifest.json") and not found.key.endswith(".py")
    )
    body = bytearray(read_version(second(copied), victim))
    place = body.index(b"202")
    body[place : place + 3] = b"302"
    delete_version(second(copied), victim.key, victim.version_id)
    second(copied).client.put_object(
        Bucket=second(copied).name, Key=victim.key, Body=bytes(body), ChecksumAlgorithm="SHA256"
    )
    [(name, problems)] = compared(copied).wrong.items()
    assert "not what" in problems[0]
    assert victim.key in (name + problems[0])


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_a_hold_keeps_the_second_copy_too(copied: World) -> None:
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))
    add_hold(copied.connection, month=MONTH, reason="a court", force=True)
    before = content_in(second(copied))
    [failed] = remove_superseded(copied.run).failed
    assert "a court" in failed.cause
    assert content_in(second(copied)) == before


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_a_removal_that_died_between_the_buckets_is_ended_by_the_next(
    copied: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))

    def die(bucket: Bucket, *of: Any, **given: Any) -> int:
        if bucket.name == second(copied).name:
            raise KeyboardInterrupt
        return remove_ours(bucket, *of, **given)

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.erase.superseded.remove_ours", die)
        with pytest.raises(KeyboardInterrupt):
            remove_superseded(copied.run)
    # Its first content is gone, the second is not: the holds are still asked.
    hold = add_hold(copied.connection, month=MONTH, reason="a court", force=True)
    assert remove_superseded(copied.run).failed
    copied.connection.execute(
        "UPDATE ops.legal_holds SET released_at = now(), released_by = 'x', release_reason = 'x'"
        " WHERE id = %s",
        (hold.id,),
    )
    remove_superseded(copied.run).refuse_failures("test")
    assert {key for key in content_in(second(copied)) if "/gen=1/" in key} == set()


@pytest.mark.usefixtures("begins_copied")
def test_what_is_not_known_to_be_ours_stays_in_the_second_bucket_and_is_named(
    copied: World,
) -> None:
    purged = copied.newest()
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))
    stored = first_part(purged)
    foreign = second(copied).client.put_object(
        Bucket=second(copied).name, Key=stored.key, Body=b"another archive's"
    )
    [failed] = remove_superseded(copied.run).failed
    assert foreign["VersionId"] in failed.cause
    [left] = versions(second(copied), stored.key)
    assert left.version_id == foreign["VersionId"]
    # Unfinished business: it is looked at again, and not called removed.
    assert generations(copied.connection, MONTH)[0].objects != ()


@pytest.mark.chaos
@pytest.mark.usefixtures("begins_copied")
def test_what_came_back_into_the_second_bucket_is_named_and_removed_again(copied: World) -> None:
    """S3's own replication may bring a version after it was removed."""
    purged = copied.newest()
    stored = first_part(purged)
    there = twin(second(copied), stored)
    assert there is not None
    request_restore(second(copied), there, days=1, tier="Bulk")
    body = read_object(second(copied), there)
    lists = {
        item.stored.key: read_object(copied.bucket, item.stored)
        for item in purged.objects
        if item not in purged.parts()
    }
    copied.connection.execute("DELETE FROM families WHERE id = %s", (copied.families[1],))
    erase_month(copied.run, copied.ask(purpose="erasure"))
    remove_superseded(copied.run).refuse_failures("test")
    put_once(second(copied), there.key, body)
    assert compared(copied).returned == {purged.name: [there.key]}
    # A hold that was placed in between may be on it, and no list says that it is not.
    held = add_hold(copied.connection, family_id=copied.families[1], reason="a court")
    [failed] = remove_returned(copied.run).failed
    assert "did not come back with it" in failed.cause
    for key, listed in lists.items():
        put_once(second(copied), key, listed)
    [failed] = remove_returned(copied.run).failed
    assert failed.cause.endswith(str(held))
    release_hold(copied.connection, held.id, "settled")
    remove_returned(copied.run).refuse_failures("test")
    assert compared(copied).returned == {}


@pytest.mark.usefixtures("begins_copied")
def test_what_the_first_has_lost_is_mended_from_the_second(copied: World) -> None:
    purged = copied.newest()
    lost = [item.stored for item in purged.objects if item.table in {"content_tags", "subjects"}]
    for stored in (*lost, purged.require_manifest()):
        delete_version(copied.bucket, stored.key, stored.version_id)
    assert len(missing(copied.connection, copied.bucket)[purged.name]) == 3
    asked = mend(copied.run, [MONTH, MONTH.plus(1)], apply=False)
    [lines], [unknown] = asked.results, asked.failed
    assert (unknown.name, unknown.cause) == (
        f"objects of {MONTH.plus(1)}",
        "the ledger has nothing of it in the bucket",
    )
    assert len(lines) == 3
    assert missing(copied.connection, copied.bucket)
    # What lies in Glacier there has to be asked for first; the others are put back.
    [failed] = mend(copied.run, [MONTH], apply=True).failed
    assert "Glacier" in failed.cause
    assert len(missing(copied.connection, copied.bucket)[purged.name]) == 1
    mend(copied.run, [MONTH], apply=True).refuse_failures("test")
    assert missing(copied.connection, copied.bucket) == {}
    assert copied.rows_when_thawed() == copied.kept


@contextmanager
def first_lost(copied: World) -> Iterator[World]:
    """The archive's own bucket is gone; the second one has become the first."""
    yield replace(copied, bucket=second(copied), second=None)


@pytest.mark.usefixtures("begins_copied")
def test_the_second_bucket_alone_suffices(copied: World, template: Database) -> None:
    copied.connection.execute("DELETE FROM threads WHERE id = %s", (copied.threads[3],))
    ship_records(copied.run)
    fill_all(copied)
    kept = copied.rows_when_thawed()
    with first_lost(copied) as alone, anew(alone, template) as new:
        done = adopt(new.run, apply=True)
        assert done.problems == ()
        assert mend(new.run, None, apply=True).results
        assert missing(new.connection, new.bucket) == {}
        assert new.rows_when_thawed() == kept
