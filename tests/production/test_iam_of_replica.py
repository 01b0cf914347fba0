"""With a second bucket a job has the policy of deploy/iam/replica besides, and needs all of it."""

from __future__ import annotations

import pytest

from ft_ops.archive import latest
from ft_ops.archive.month.ledger import generations, supersede
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.months import Month
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version
from tests.archive.world import World
from tests.production.gateway import Gateway
from tests.production.policies import IAM, role_policy, unused
from tests.production.test_iam import (
    OLD,
    asking,
    assert_exact,
    audit_month,
    config,
    guarded,
    names,
    run,
)

__all__ = ["asking", "guarded"]


@pytest.fixture
def replicated(
    guarded: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> Gateway:
    """A deployment with a second bucket; each role has its policy for it besides."""
    monkeypatch.setenv("FT_ARCHIVE_REPLICA_BUCKET", second_bucket.name)
    for path in (IAM / "replica").glob("*.json"):
        besides = role_policy(f"replica/{path.stem}", names(world.bucket))
        own = list(guarded.policies[path.stem])
        # A key's rights come with either policy.
        guarded.policies[path.stem] = [*own, *(s for s in besides if s not in own)]
    return guarded


def assert_needed(replicated: Gateway, world: World, role: str) -> None:
    """Nothing was denied, and all that the policy for the second bucket grants was used."""
    assert replicated.denied[role] == set()
    besides = role_policy(f"replica/{role}", names(world.bucket))
    assert unused(besides, replicated.used[role]) == set()


def test_freeze_fill_check_and_purge_need_what_they_are_granted(
    replicated: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    assert run("archive_old_content", monkeypatch).success
    assert_needed(replicated, world, "archive_old_content")
    frozen = latest(world.connection, OLD)
    assert frozen is not None
    # One that has to be asked for again, because the second bucket has lost it.
    second = Bucket(second_bucket.name, world.bucket.client)
    monkeypatch.delenv("FT_ARCHIVE_LOCK_MODE")
    [lost] = [
        version
        for version in second.client.list_object_versions(Bucket=second.name)["Versions"]
        if "table=content_tags" in version["Key"]
    ]
    second.client.delete_object(
        Bucket=second.name,
        Key=lost["Key"],
        VersionId=lost["VersionId"],
        BypassGovernanceRetention=True,
    )
    retrieve = config("archive_replica", retrieve=True)
    assert not run("copy_archive_to_replica", monkeypatch, retrieve).success
    assert run("copy_archive_to_replica", monkeypatch, retrieve).success
    assert_exact(replicated, world, "copy_archive_to_replica")
    assert run("check_archive_replica", monkeypatch).success
    assert_exact(replicated, world, "check_archive_replica")
    world.verified_backup()
    purge = config("purged_content_segments", dry_run=False)
    assert run("purge_archived_content", monkeypatch, purge).success
    assert_needed(replicated, world, "purge_archived_content")


def test_the_audit_logs_archive_needs_what_it_is_granted(
    replicated: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit_month(world)
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    config_off = config("archived_audit_log", dry_run=False)
    assert run("archive_audit_log", monkeypatch, config_off).success
    world.verified_backup()
    assert run("archive_audit_log", monkeypatch, config_off).success
    [purged] = generations(world.connection, Month(2017, 1), "audit_archive")
    stored = purged.parts()[0].stored
    world.bucket.client.delete_object(
        Bucket=world.bucket.name,
        Key=stored.key,
        VersionId=stored.version_id,
        BypassGovernanceRetention=True,
    )
    back = config("archived_audit_log", dry_run=False, bring_back=["2017-01"])
    assert run("archive_audit_log", monkeypatch, back).success
    assert_needed(replicated, world, "archive_audit_log")


@pytest.mark.chaos
def test_a_thaw_from_the_second_copy_needs_what_it_is_granted(
    replicated: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.second = second_bucket
    purged = world.archived_and_purged(OLD)
    stored = purged.parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    assert run("thaw_archived_content", monkeypatch).success
    assert_needed(replicated, world, "thaw_archived_content")


@pytest.mark.chaos
def test_a_family_restored_from_the_second_copy_needs_what_it_is_granted(
    replicated: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.second = second_bucket
    stored = world.archive(OLD).parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    family = {"family_id": str(world.families[0]), "from_archive": str(OLD)}
    for asked in ("Bulk", ""):
        one = config("restored_family", **family, ask_glacier=asked)
        assert run("restore_family", monkeypatch, one).success
    assert_needed(replicated, world, "restore_family")


@pytest.mark.chaos
def test_an_erasure_with_a_second_copy_needs_what_it_is_granted(
    replicated: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.second = second_bucket
    purged = world.archived_and_purged(OLD)
    stored = purged.parts()[0].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    monkeypatch.setenv("FT_ARCHIVE_LOCK_MODE", "GOVERNANCE")
    erase = config("erased_archive_content", dry_run=False)
    assert run("erase_archived_content", monkeypatch, erase).success
    assert_needed(replicated, world, "erase_archived_content")


@pytest.mark.chaos
def test_what_removes_superseded_content_removes_it_from_both(
    replicated: Gateway, world: World, second_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.second = second_bucket
    world.archive(OLD)
    world.connection.execute("DELETE FROM families WHERE id = %s", (world.families[1],))
    following = supersede(world.connection, world.standing(OLD), "test", "test")
    archive_content(world.run, following)
    remove = config("superseded_archive_content", dry_run=False)
    assert run("remove_superseded_content", monkeypatch, remove).success
    assert_needed(replicated, world, "remove_superseded_content")


def test_s3s_own_replication_never_deletes() -> None:
    template = (IAM.parent / "aws" / "bucket.yaml").read_text(encoding="utf-8")
    assert "- s3:ReplicateDelete" not in template
    assert "Action: [s3:ReplicateObject, s3:ReplicateTags]" in template
    rules = template.count("Destination: {Bucket: !Ref ReplicaArn")
    assert rules > 0
    assert template.count("DeleteMarkerReplication: {Status: Disabled}") == rules


def test_only_who_removes_in_the_first_removes_in_the_second() -> None:
    deleting = {
        path.stem
        for path in (IAM / "replica").glob("*.json")
        if "s3:DeleteObjectVersion" in path.read_text(encoding="utf-8")
    }
    assert deleting == {"erase_archived_content", "remove_superseded_content"}
